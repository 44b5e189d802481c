"""Lookahead against a float64 transcription of Algorithm 1: slow weights, buffers, step sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from lookahead_cases import (
    ALPHA,
    CURVATURE,
    START,
    K,
    gradient,
    momentum_sgd,
    reference,
    train,
)

from lbexp.optimizers import lookahead


@pytest.mark.parametrize('momentum', ['maintain', 'reset', 'interpolate'])
def test_equals_the_paper(momentum):
    with jax.enable_x64(True):
        found = train(lookahead(momentum_sgd(), K, ALPHA, momentum), 14)
        for (fast, slow, state), expected in zip(found, reference(14, momentum), strict=True):
            trace = optax.tree.get(state.inner_state, 'trace')
            for a, b in zip((fast, slow, trace), expected, strict=True):
                np.testing.assert_allclose(a['w'], b, rtol=1e-12, atol=1e-14)


def test_slow_and_fast_weights_are_equal_to_the_bit_after_a_synchronisation():
    for dtype in (jnp.float32, jnp.bfloat16):
        weights = (
            jax.random.normal(jax.random.key(0), (3, 1000)) * 10.0 ** jnp.arange(-6, 6, 4)[:, None]
        )
        params = {'w': weights.astype(dtype).T}
        for step, (fast, slow, _) in enumerate(
            train(lookahead(momentum_sgd(), K, ALPHA), 9, params), 1
        ):
            assert bool((fast['w'] == slow['w']).all()) == (step % K == 0)


def test_alpha_one_is_the_inner_optimizer():
    with jax.enable_x64(True):
        for (found, *_), (expected, *_) in zip(
            train(lookahead(optax.adam(0.1), 2, 1.0), 7), train(optax.adam(0.1), 7)
        ):
            np.testing.assert_allclose(found['w'], expected['w'], rtol=1e-12)


def test_reset_keeps_counts_schedules_keys_and_second_moments():
    def schedule(count):
        return 0.1 / (1.0 + count)

    inner = optax.chain(optax.add_noise(1e-3, 0.5, 7), optax.adam(schedule))
    found, plain = (train(tx, 6)[-1][2] for tx in (lookahead(inner, 3, 0.5, 'reset'), inner))
    for count in optax.tree.get_all_with_path(found.inner_state, 'count'):
        assert int(count[1]) == 6
    keys = [jax.random.key_data(optax.tree.get(s, 'rng_key')) for s in (found, plain)]
    np.testing.assert_array_equal(*keys)
    assert float(jnp.abs(optax.tree.get(found, 'mu')['w']).max()) == 0
    assert float(optax.tree.get(found, 'nu')['w'].min()) > 0


def test_reset_reaches_through_wrappers_and_leaves_copies_of_weights_alone():
    params = {'a': jnp.ones(3), 'b': jnp.ones(3)}
    labels = {'a': 'adam', 'b': 'ball'}
    inner = optax.partition(
        {'adam': optax.adam(0.1), 'ball': lookahead(momentum_sgd(), 2, 0.5)}, labels
    )
    tx = lookahead(
        optax.inject_hyperparams(lambda rate: optax.chain(inner, optax.scale(rate)))(0.5),
        3,
        0.5,
        'reset',
    )
    state = tx.init(params)
    for _ in range(3):
        _, state = tx.update(gradient({'a': params['a'] + 1, 'b': params['b'] + 1}), state, params)
    assert float(jnp.abs(optax.tree.get(state, 'mu')['a']).max()) == 0
    assert float(jnp.abs(optax.tree.get(state, 'trace')['b']).max()) == 0
    inner_slow = optax.tree.get(state.inner_state, 'slow')
    assert float(jnp.abs(inner_slow['b']).min()) > 0.5
    assert float(state.inner_state.hyperparams['rate']) == 0.5


def test_momentum_that_has_no_known_name_is_an_error():
    with pytest.raises(ValueError, match=r"buffers are \['nu'\].*momentum_fields"):
        lookahead(optax.rmsprop(0.1), buffer_policy='reset').init(jnp.ones(3))
    named = lookahead(optax.rmsprop(0.1), 1, buffer_policy='reset', momentum_fields=('nu',))
    _, state = named.update(jnp.ones(3), named.init(jnp.ones(3)), jnp.ones(3))
    assert float(jnp.abs(optax.tree.get(state, 'nu')).max()) == 0
    lookahead(optax.sgd(0.1), buffer_policy='reset').init(jnp.ones(3))


def test_k_and_alpha_may_be_traced():
    ks, alphas = jnp.array([1, 2, 3, 5]), jnp.array([0.2, 0.5, 0.8, 1.0])

    def final(k, alpha):
        tx = lookahead(momentum_sgd(), k, alpha, 'interpolate')

        def step(carry, _):
            return (_step(tx, *carry), None)

        params = jnp.asarray(START, jnp.float32)
        return jax.lax.scan(step, (params, tx.init(params)), length=11)[0][0]

    found = jax.jit(jax.vmap(final))(ks, alphas)
    for row, k, alpha in zip(found, ks.tolist(), alphas.tolist()):
        np.testing.assert_allclose(row, reference(11, 'interpolate', k, alpha)[-1][0], rtol=2e-5)


def _step(tx, params, state):
    updates, state = tx.update(jnp.asarray(CURVATURE, jnp.float32) * (params - 1), state, params)
    return optax.apply_updates(params, updates), state


def test_optimal_step_size_is_the_minimum_along_the_line():
    """With the true curvature given, the slow weights minimise the loss between the two points."""
    with jax.enable_x64(True):
        a = CURVATURE

        def loss(w):
            return 0.5 * np.sum(a * (w - 1) ** 2)

        for k, rate, momentum in ((4, 0.3, 0.9), (5, 0.45, 0.5), (2, 0.02, 0.0)):
            inner = optax.sgd(rate, momentum=momentum)
            tx = lookahead(inner, k, 'optimal', alpha_low=0.1)
            *_, (_, slow, _) = train(tx, k, curvature={'w': jnp.asarray(a)})
            *_, (fast, _, _) = train(inner, k)
            grid = np.linspace(0.1, 1, 200_001)
            losses = 0.5 * (
                ((START + grid[:, None] * (np.asarray(fast['w']) - START) - 1) ** 2) * a
            ).sum(1)
            assert loss(np.asarray(slow['w'])) == pytest.approx(losses.min(), rel=1e-8)


def test_optimal_step_size_keeps_its_own_curvature():
    """Against Proposition 1 written out with the bias-corrected second moment."""
    with jax.enable_x64(True):
        tx = lookahead(optax.sgd(0.48), 3, 'optimal', alpha_low=0.05, curvature_decay=0.8)
        *_, (_, slow, _) = train(tx, 3)
        w, moment = START, np.zeros(3)
        for _ in range(3):
            g = CURVATURE * (w - 1)
            moment = 0.8 * moment + 0.2 * g**2
            before, w = w, w - 0.48 * g
        c = moment / (1 - 0.8**3)
        target = before - g / c
        d = START - w
        alpha = np.clip(np.sum((START - target) * c * d) / np.sum(d * c * d), 0.05, 1)
        assert 0.05 < alpha < 1
        np.testing.assert_allclose(slow['w'], START + alpha * (w - START), rtol=1e-10)


def test_errors_say_what_is_allowed():
    for arguments, message in (
        (dict(k=0), 'k: found 0; allowed: an integer >= 1'),
        (dict(buffer_policy='restart'), "'restart'; allowed"),
        (dict(slow_step_size='best'), "'best'; allowed"),
    ):
        with pytest.raises(ValueError, match=message):
            lookahead(optax.sgd(0.1), **arguments)
    tx = lookahead(optax.sgd(0.1))
    with pytest.raises(ValueError, match='params'):
        tx.update(jnp.ones(3), tx.init(jnp.ones(3)))
    tx = lookahead(optax.sgd(0.1), slow_step_size='optimal', curvature_decay=None)
    with pytest.raises(ValueError, match='curvature='):
        tx.update(jnp.ones(3), tx.init(jnp.ones(3)), jnp.ones(3))
