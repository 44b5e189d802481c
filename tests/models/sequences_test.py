"""Language models: the equations in float64, and what a position may know of others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.data.packing import pack
from lbexp.models.lstm import LSTM
from lbexp.models.transformer import Transformer

VOCABULARY = 11
MODELS = {
    'lstm': LSTM(VOCABULARY, embedding=5, hidden=6, layers=2),
    'transformer': Transformer(VOCABULARY, width=8, blocks=2, heads=2, positions=12),
}
SEQUENCES = [[1, 2, 3, 4], [5, 6], [7, 8, 9], [1, 10, 2, 3, 4]]


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def variables(model, tokens, segments, scale=10.0):
    """Parameters, grown so that what a position knows shows."""
    made = model.init(jax.random.key(0), tokens, segments, train=False)
    return jax.tree.map(lambda leaf: leaf * scale, made)


@pytest.mark.long
def test_a_packed_sequence_is_read_as_if_alone(model):
    tokens, _, segments = map(jnp.asarray, pack(SEQUENCES, 12))
    values = variables(model, tokens, segments)
    together = model.apply(values, tokens, segments, train=False)
    for row, places in [(i, segments[i] == s) for i in range(len(tokens)) for s in (1, 2, 3)]:
        if not places.any():
            continue
        alone = tokens[row][places][None]
        logits = model.apply(values, alone, jnp.ones_like(alone), train=False)
        np.testing.assert_allclose(together[row][places], logits[0], rtol=1e-4, atol=1e-4)


@pytest.mark.long
def test_padding_on_the_left_changes_nothing(model):
    tokens = jnp.asarray([[1, 2, 3, 4]])
    segments = jnp.ones_like(tokens)
    padded, of_padding = (jnp.pad(each, ((0, 0), (3, 0))) for each in (tokens, segments))
    values = variables(model, tokens, segments)
    alone = model.apply(values, tokens, segments, train=False)
    with_padding = model.apply(values, padded, of_padding, train=False)
    np.testing.assert_allclose(with_padding[:, 3:], alone, rtol=1e-4, atol=1e-4)


def test_no_position_knows_a_later_one(model):
    tokens = jnp.asarray([[1, 2, 3, 4, 5, 6]])
    segments = jnp.ones_like(tokens)
    values = variables(model, tokens, segments)
    before = model.apply(values, tokens, segments, train=False)
    after = model.apply(values, tokens.at[0, 4].set(9), segments, train=False)
    np.testing.assert_array_equal(before[0, :4], after[0, :4])
    assert (before[0, 4:] != after[0, 4:]).any(axis=-1).all()


def test_without_causality_both_sides_are_seen():
    model = Transformer(VOCABULARY, width=8, positions=12, causal=False)
    tokens = jnp.asarray([[1, 2, 3, 4]])
    segments = jnp.ones_like(tokens)
    values = variables(model, tokens, segments)
    before = model.apply(values, tokens, segments, train=False)
    after = model.apply(values, tokens.at[0, 3].set(9), segments, train=False)
    assert (before != after).any(axis=-1).all()


def test_lstm_against_its_equations():
    model = LSTM(VOCABULARY, embedding=3, hidden=4)
    tokens = jnp.asarray([[1, 2, 3, 9, 10]])
    segments = jnp.asarray([[1, 1, 1, 2, 2]])
    values = variables(model, tokens, segments, scale=3.0)
    logits = model.apply(values, tokens, segments, train=False)
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), values['params'])
    h, c = np.zeros(4), np.zeros(4)
    for t, token in enumerate([1, 2, 3, 9, 10]):
        if t == 3:
            h, c = np.zeros(4), np.zeros(4)
        x = p['Embed_0']['embedding'][token]
        gates = x @ p['lstm_0_kernel'] + h @ p['lstm_0_recurrent'] + p['lstm_0_bias']
        i, f, g, o = np.split(gates, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        expected = h @ p['logits']['kernel'] + p['logits']['bias']
        np.testing.assert_allclose(logits[0, t], expected, rtol=2e-5, atol=2e-5)


def test_lstm_begins_with_an_open_forget_gate_and_orthogonal_recurrence():
    model = LSTM(VOCABULARY, embedding=3, hidden=4)
    tokens = jnp.ones((1, 2), jnp.int32)
    p = model.init(jax.random.key(0), tokens, tokens, train=False)['params']
    np.testing.assert_array_equal(p['lstm_0_bias'], np.repeat([0, 1, 0, 0], 4))
    for gate in np.split(np.asarray(p['lstm_0_recurrent']), 4, axis=1):
        np.testing.assert_allclose(gate @ gate.T, np.eye(4), atol=1e-6)


def normalized(x, scale):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(centred.var(-1, keepdims=True) + 1e-6) * scale


def test_transformer_against_its_equations():
    model = Transformer(VOCABULARY, width=6, blocks=1, heads=2, positions=5)
    tokens = jnp.asarray([[1, 2, 3, 4]])
    segments = jnp.ones_like(tokens)
    values = variables(model, tokens, segments, scale=5.0)
    logits = model.apply(values, tokens, segments, train=False)
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), values['params'])
    block = p['block_0']
    x = p['embedding'][[1, 2, 3, 4]] + p['position'][:4]
    qkv = normalized(x, block['LayerNorm_0']['scale']) @ block['qkv']['kernel']
    attended = []
    for head in range(2):
        q, k, v = (qkv[:, 6 * j + 3 * head : 6 * j + 3 * head + 3] for j in range(3))
        scores = np.where(np.tri(4) > 0, q @ k.T / np.sqrt(3), -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        attended.append(weights / weights.sum(-1, keepdims=True) @ v)
    x = x + np.concatenate(attended, -1) @ block['attended']['kernel']
    u = normalized(x, block['LayerNorm_1']['scale']) @ block['up']['kernel']
    gelu = u / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u**3)))
    x = x + gelu @ block['down']['kernel']
    expected = normalized(x, p['norm']['scale']) @ p['embedding'].T
    np.testing.assert_allclose(logits[0], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.long
def test_rematerialised_blocks_compute_the_same():
    tokens = jnp.asarray([[1, 2, 3, 4]])
    segments = jnp.ones_like(tokens)

    def gradient(rematerialise):
        model = Transformer(VOCABULARY, width=8, positions=4, rematerialise=rematerialise)
        values = variables(model, tokens, segments)
        logits = lambda v: jnp.square(model.apply(v, tokens, segments, train=True)).sum()  # noqa: E731
        return jax.grad(logits)(values)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        gradient(True),
        gradient(False),
    )


def test_bfloat16_computes_nearly_the_same_with_float32_parameters():
    tokens = jnp.asarray([[1, 2, 3, 4]])
    segments = jnp.ones_like(tokens)
    exact = Transformer(VOCABULARY, width=8, positions=4)
    values = exact.init(jax.random.key(0), tokens, segments, train=False)
    half = Transformer(VOCABULARY, width=8, positions=4, dtype=jnp.bfloat16)
    of_half = half.init(jax.random.key(0), tokens, segments, train=False)
    assert {leaf.dtype for leaf in jax.tree.leaves(of_half)} == {jnp.dtype('float32')}
    logits = half.apply(values, tokens, segments, train=False)
    assert logits.dtype == jnp.float32
    reference = exact.apply(values, tokens, segments, train=False)
    np.testing.assert_allclose(logits, reference, rtol=0.05, atol=0.01)


def test_what_does_not_fit_is_refused():
    tokens = jnp.ones((1, 4), jnp.int32)
    with pytest.raises(ValueError, match='heads: found 3 of width 8; allowed: a divisor'):
        Transformer(VOCABULARY, width=8, heads=3).init(jax.random.key(0), tokens, tokens, False)
    with pytest.raises(ValueError, match='found rows of 4; allowed: up to 3'):
        Transformer(VOCABULARY, positions=3).init(jax.random.key(0), tokens, tokens, False)
