"""Lanczos against dense eigenvalues and known spectra."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from curvature_cases import quadratic

from lbexp.curvature import lanczos, operators, trees


@pytest.mark.long
def test_extremes_of_a_network(dense, dense_product):
    def measure(key):
        return lanczos.extremes(dense_product, dense.params, key, 40, 4)

    measured = jax.jit(measure)(jax.random.key(0))
    np.testing.assert_allclose(measured.top, dense.values[:4], rtol=3e-6)
    assert (measured.top_residuals < 1e-5).all()
    assert abs(measured.bottom - dense.values[-1]) < measured.bottom_residual + 1e-6
    assert measured.bottom < 0 and measured.products == 40
    # the vectors are eigenvectors
    for i in range(4):
        vector = trees.combined(measured.vectors, jnp.eye(4)[i])
        image = dense_product(vector)
        left = trees.added(image, vector, -float(measured.top[i]))
        assert trees.norm(left) < 1e-5 and abs(trees.norm(vector) - 1) < 1e-5


def test_products_of_the_loss_give_what_the_matrix_gives(dense):
    product = operators.hessian_product(dense.loss, dense.params)

    def measure(key):
        return lanczos.extremes(product, dense.params, key, 12, 2)

    measured = jax.jit(measure)(jax.random.key(0))
    within = measured.top_residuals + 1e-5
    assert (np.abs(measured.top - dense.values[:2]) < within).all()


def is_sound(pairs, values):
    """No eigenvalue is counted more often than it occurs, within its error."""
    counted = np.asarray(pairs.values)[np.asarray(pairs.residuals) < 1e-3]
    for value in counted:
        occurs = np.sum(np.abs(values - value) < 1e-3)
        if np.sum(np.abs(counted - value) < 1e-3) > occurs:
            return False
    return True


@pytest.mark.long
def test_without_reorthogonalisation_eigenvalues_come_twice(dense, dense_product):
    def measure(key, times):
        run = lanczos.tridiagonal(dense_product, dense.params, key, 40, times)
        lost = jnp.abs(jax.vmap(lambda row: trees.rows_times(run.basis, row))(run.basis))
        return lanczos.ritz(run), (lost - jnp.eye(40)).max()

    measure = jax.jit(measure, static_argnums=1)
    top = dense.values[:20]
    twice, lost = measure(jax.random.key(0), 2)
    assert is_sound(Top(twice), top) and lost < 1e-5
    never, lost = measure(jax.random.key(0), 0)
    assert not is_sound(Top(never), top) and lost > 0.1


class Top:
    """The five largest pairs."""

    def __init__(self, pairs):
        self.values, self.residuals = pairs.values[-5:], pairs.residuals[-5:]


@pytest.mark.parametrize(
    'values',
    [
        [5.0] * 3 + [1.0] * 8,
        [-4.0, -4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 3.0, 3.0],
        [0.0] * 11,
        [2.0] * 11,
        list(range(11)),
        [1e-6 * x for x in range(11)],
    ],
)
def test_multiplicity_negative_part_and_rank(values):
    """Run to the end it finds every eigenvalue as often as it occurs; nothing is divided by 0."""
    product, like = quadratic(values)

    def measure(key):
        return lanczos.ritz(lanczos.tridiagonal(product, like, key, 11))

    # nor is anything that a select throws away
    with jax.debug_nans(True):
        pairs = jax.jit(measure)(jax.random.key(1))
    scale = max(map(abs, values))
    np.testing.assert_allclose(pairs.values, sorted(values), atol=5e-6 * scale)
    assert abs(pairs.weights.sum() - 1) < 1e-5


def test_residuals_bound_the_error():
    values = np.linspace(-1, 1, 41) ** 3
    product, like = quadratic(values)

    def measure(key):
        return lanczos.ritz(lanczos.tridiagonal(product, like, key, 12))

    for key in range(5):
        pairs = jax.jit(measure)(jax.random.key(key))
        nearest = np.abs(np.asarray(pairs.values)[:, None] - values).min(axis=1)
        assert (nearest <= np.asarray(pairs.residuals) + 1e-6).all()
        # and they say something: the ends have converged, the middle has not
        assert pairs.residuals[-1] < 0.05 and pairs.residuals.max() > 0.05


@pytest.mark.long
def test_mapped_is_alone_and_steps_stop_at_the_size():
    product, like = quadratic(np.arange(11.0))

    def measure(key):
        return lanczos.extremes(product, like, key, 50, 3)

    keys = jax.random.split(jax.random.key(0), 3)
    mapped = jax.jit(lambda keys: jax.lax.map(measure, keys))(keys)
    vmapped = jax.jit(jax.vmap(measure))(keys)
    for i, key in enumerate(keys):
        alone = jax.jit(measure)(key)
        np.testing.assert_array_equal(mapped.top[i], alone.top)
        np.testing.assert_allclose(vmapped.top[i], alone.top, rtol=1e-5)
        np.testing.assert_allclose(alone.top, [10, 9, 8], rtol=1e-5)
        assert alone.products == 11


@pytest.mark.parametrize('count', [0, 12])
def test_more_eigenvalues_than_products_are_refused(count):
    product, like = quadratic(np.arange(11.0))
    with pytest.raises(ValueError, match=f'count: found {count}; allowed: 1 .. 11'):
        lanczos.extremes(product, like, jax.random.key(0), 50, count)


def test_vectors_are_split_as_the_parameters_are():
    """Over devices, by the program that is compiled for parameters that are split."""
    axis_types = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((4,), ('data',), axis_types=axis_types, devices=jax.devices()[:4])
    params = {'w': jax.random.normal(jax.random.key(0), (8, 16)), 'b': jnp.zeros(16)}
    x = jax.random.normal(jax.random.key(1), (32, 8))

    def loss(params):
        return jnp.mean(jnp.tanh(x @ params['w'] + params['b'][None]) ** 2)

    def measure(params, key):
        product = operators.hessian_product(loss, params)
        run = lanczos.tridiagonal(product, params, key, 10)
        return lanczos.ritz(run).values, run.basis

    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, 'data'))
    whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    placed = jax.device_put(params, {'w': split, 'b': whole})
    values, _ = jax.jit(measure)(params, jax.random.key(2))
    split_values, basis = jax.jit(measure)(placed, jax.random.key(2))
    np.testing.assert_allclose(split_values, values, atol=1e-6)
    assert basis['w'].sharding.shard_shape(basis['w'].shape) == (10, 8, 4)
