"""Layers of models of fields: their papers' equations in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click_tables import numbers, table, with_noise

from lbexp.models._fields import FieldVectors, below
from lbexp.models.autoint import FieldAttention
from lbexp.models.co_action import CoAction
from lbexp.models.compressed_fields import products, random_projection
from lbexp.models.dcn import CrossLayer


def test_field_vectors_are_rows_of_a_table_and_lines():
    arrays = table()
    module = FieldVectors((4, 3, 5), 2, 6)
    vectors, params = with_noise(module, arrays)
    assert vectors.shape == (40, 5, 6)
    rows = params['categories']
    assert rows.shape == (12, 6)
    ids = arrays['categorical'][7]
    np.testing.assert_allclose(vectors[7, :3], rows[ids + [0, 4, 7]], rtol=1e-6)
    x = arrays['numeric'][7].astype(np.float64)[:, None]
    expected = x * params['slopes'][:, 0] + params['offsets'][0]
    np.testing.assert_allclose(vectors[7, 3:], expected, rtol=1e-5, atol=1e-6)


def test_pieces_of_a_number():
    pieces = ((-1.0, 0.0, 2.0), (0.0, 4.0))
    x = jnp.asarray([[-2.0, 1.0], [-0.5, 9.0], [1.0, -1.0], [7.0, 4.0]])
    expected = [
        [[0, 0], [0.25, 0]],
        [[0.5, 0], [1, 0]],
        [[1, 0.5], [0, 0]],
        [[1, 1], [1, 0]],
    ]
    np.testing.assert_array_equal(below(x, pieces), expected)


def test_crosses_without_weights_are_polynomials():
    """W = I, b = 0: x_1 = x_0 + x_0^2, x_2 = x_0 + 2 x_0^2 + x_0^3."""
    module = CrossLayer('matrix')
    x0 = numbers((4, 5))
    params = {'bias': jnp.zeros((1, 5)), 'matrix': {'kernel': jnp.eye(5)}}
    x1 = module.apply({'params': params}, x0, x0)
    np.testing.assert_allclose(x1, x0 + x0**2, rtol=1e-6)
    x2 = module.apply({'params': params}, x0, x1)
    np.testing.assert_allclose(x2, x0 + 2 * x0**2 + x0**3, rtol=1e-5, atol=1e-6)


def crossed(form, params, x0, x):
    """x_{l+1} of the papers, in float64, an example at a time."""
    b = params['bias'][0]
    if form == 'vector':
        return x0 * (x @ params['weight'][:, 0]) + b + x
    if form == 'matrix':
        return x0 * (params['matrix']['kernel'].T @ x + b) + x
    if form == 'low rank':
        u, v = params['up']['kernel'].T, params['down']['kernel']
        return x0 * (u @ (v.T @ x) + b) + x
    gate = np.exp(params['gates']['kernel'].T @ x + params['gates']['bias'])
    total = x.copy()
    for i, share in enumerate(gate / gate.sum()):
        u, c, v = params['up'][i].T, params['middle'][i].T, params['down'][i]
        total += share * x0 * (u @ np.tanh(c @ np.tanh(v.T @ x)) + b)
    return total


@pytest.mark.long
@pytest.mark.parametrize('form', ['vector', 'matrix', 'low rank', 'mixture'])
def test_a_cross_layer_is_the_papers(form):
    module = CrossLayer('matrix', rank=2) if form == 'low rank' else CrossLayer(form, experts=3)
    x0, x = numbers((5, 8), 1), numbers((5, 8), 2)
    outputs, params = with_noise(module, x0, x)
    for n in range(5):
        expected = crossed(form, params, x0[n].astype(float), x[n].astype(float))
        np.testing.assert_allclose(outputs[n], expected, rtol=1e-4, atol=1e-4)
    if form == 'mixture':
        assert params['down'].shape == (3, 8, 2), 'a quarter of the width'


def test_attention_between_fields_is_the_papers():
    fields = numbers((3, 4, 5))
    outputs, params = with_noise(FieldAttention(2, 3), fields)
    q, k, v = (params[name]['kernel'] for name in ('query', 'key', 'value'))  # [E, heads, width]
    for n, e in enumerate(fields.astype(float)):
        heads = []
        for h in range(2):
            weights = np.exp((e @ q[:, h]) @ (e @ k[:, h]).T)
            weights /= weights.sum(axis=1, keepdims=True)
            heads.append(weights @ (e @ v[:, h]))
        expected = np.maximum(np.concatenate(heads, 1) + e @ params['residual']['kernel'], 0)
        np.testing.assert_allclose(outputs[n], expected, rtol=1e-4, atol=1e-4)


def test_permuted_fields_permute_what_attention_gives():
    fields, turned = numbers((3, 6, 5)), np.asarray([4, 2, 0, 5, 1, 3])
    outputs, params = with_noise(FieldAttention(2, 3), fields)
    params = jax.tree.map(jnp.float32, params)
    permuted = FieldAttention(2, 3).apply({'params': params}, fields[:, turned])
    np.testing.assert_allclose(permuted, outputs[:, turned], rtol=1e-5, atol=1e-5)


def test_co_action_is_the_papers():
    module = CoAction((7, 6), widths=(4, 3, 2), powers=3)
    networks, passing = jnp.asarray([6, 0, 3]), jnp.asarray([5, 2, 2])
    outputs, params = with_noise(module, networks, passing)
    assert outputs.shape == (3, 3 * (3 + 2))
    for n in range(3):
        vector = params['networks'][networks[n]]
        first, second = vector[:12].reshape(4, 3), vector[12:].reshape(3, 2)
        expected = []
        for power in (1, 2, 3):
            h = np.tanh(params['inputs'][passing[n]] ** power @ first)
            expected += [h, np.tanh(h @ second)]
        np.testing.assert_allclose(outputs[n], np.concatenate(expected), rtol=1e-4, atol=1e-5)


def test_as_many_orthogonal_combinations_as_fields_keep_every_product():
    """(X Y^T) P = X X^T for Y = P X, P orthogonal."""
    x = numbers((3, 6, 4))
    orthogonal = np.linalg.qr(numbers((6, 6), 1))[0]
    with_all = np.asarray(products(jnp.asarray(x), jnp.asarray(orthogonal))) @ orthogonal
    np.testing.assert_allclose(with_all, x @ x.transpose(0, 2, 1), rtol=1e-4, atol=1e-5)


def test_moments_of_a_random_projection():
    """E[(P x) . (P y)] = x . y, with the variance (|x|^2 |y|^2 + (x . y)^2) / k."""
    k, seeds = 4, 20_000
    x, y = numbers((2, 6))
    projections = jax.vmap(lambda seed: random_projection(seed, k, 6))(jnp.arange(seeds))
    dots = np.asarray((projections @ x * (projections @ y)).sum(1), np.float64)
    variance = ((x @ x) * (y @ y) + (x @ y) ** 2) / k
    assert abs(dots.mean() - x @ y) < 4 * (variance / seeds) ** 0.5
    # of a variance of values with the tails of products of normal numbers: 2 % here
    np.testing.assert_allclose(dots.var(), variance, rtol=0.08)
