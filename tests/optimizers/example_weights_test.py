"""Example weights give a large batch the covariance of a small one.

The problem: a linear regression of 24 examples, 3 features and a bias, its gradients exact.
Bounds are five standard errors, seeds fixed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from lbexp import optimizers
from lbexp.optimizers import example_weights

ERRORS = 5
N, RUNS = 24, 20_000


def regression():
    keys = jax.random.split(jax.random.key(8), 3)
    x = jax.random.normal(keys[0], (N, 3)) * jnp.array([[1.0, 2.0, 0.3]])
    y = x @ jnp.array([1.0, -1.0, 2.0]) + jax.random.normal(keys[1], (N,)) + 0.5
    return x, y, {'w': jax.random.normal(keys[2], (3,)), 'b': jnp.zeros(())}


def loss(params, x, y, z):
    return jnp.mean(z * 0.5 * (x @ params['w'] + params['b'] - y) ** 2)


def vector(tree):
    return jnp.concatenate([tree['w'], tree['b'][None]])


def update_samples(batch_size, weigh, replace=False):
    """RUNS gradients of batches drawn from the regression: [RUNS, 4]."""
    x, y, params = regression()

    def one(key):
        rows, noise = jax.random.split(key)
        chosen = jax.random.choice(rows, N, (batch_size,), replace=replace)
        z = weigh(noise, jnp.arange(batch_size, dtype=jnp.uint32) + 2 * batch_size)
        return vector(jax.grad(loss)(params, x[chosen], y[chosen], z))

    return np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(2), RUNS)), np.float64)


def population():
    """Mean and covariance (divisor N) of the example gradients."""
    x, y, params = regression()

    def one(x, y):
        return vector(jax.grad(loss)(params, x[None], y[None], jnp.ones(1)))

    g = np.asarray(jax.vmap(one)(x, y), np.float64)
    return g.mean(0), np.cov(g.T, bias=True)


def assert_update_covariance(samples, mean, expected):
    """Every block of the covariance, with errors from the samples themselves."""
    centred = samples - mean
    products = centred[:, :, None] * centred[:, None, :]
    error = products.std(0) / np.sqrt(RUNS)
    assert (np.abs(products.mean(0) - expected) < ERRORS * error).all()
    assert (np.abs(centred.mean(0)) < ERRORS * samples.std(0) / np.sqrt(RUNS)).all()
    # The bounds are narrow enough to tell: 10 % more or less would be seen.
    assert (np.diag(0.1 * expected) > ERRORS * np.diag(error)).all()


def test_without_weights_the_batch_has_the_textbook_covariance():
    mean, covariance = population()
    samples = update_samples(8, lambda key, positions: jnp.ones(positions.shape))
    assert_update_covariance(samples, mean, covariance / 8 * (N - 8) / (N - 1))


def test_independent_weights_match_the_small_batch_and_add_the_documented_term():
    mean, covariance = population()
    samples = update_samples(12, example_weights(3, 12, dataset_size=N))
    extra = (12 / 3 - 1) * N / (N - 1) / 12 * np.outer(mean, mean)
    assert_update_covariance(samples, mean, covariance / 3 * (N - 3) / (N - 1) + extra)


def test_independent_weights_with_replacement():
    mean, covariance = population()
    samples = update_samples(12, example_weights(3, 12), replace=True)
    assert_update_covariance(samples, mean, covariance / 3 + 3 / 12 * np.outer(mean, mean))


@pytest.mark.parametrize(('replace', 'size'), [(False, N), (True, None)])
def test_centred_weights_match_the_small_batch_exactly(replace, size):
    mean, covariance = population()
    samples = update_samples(12, example_weights(3, 12, size, centred=True), replace)
    finite = 1.0 if replace else (N - 3) / (N - 1)
    assert_update_covariance(samples, mean, covariance / 3 * finite)


def test_the_small_batch_itself():
    """What is imitated, measured: batches of 3."""
    mean, covariance = population()
    samples = update_samples(3, lambda key, positions: jnp.ones(positions.shape))
    assert_update_covariance(samples, mean, covariance / 3 * (N - 3) / (N - 1))


def test_weights_are_a_function_of_key_and_position():
    """Any cut into microbatches, any order, any sharding: the same weights."""
    positions = jnp.arange(100, 164, dtype=jnp.uint32)
    for centred in (False, True):
        weigh = jax.jit(example_weights(4, 64, centred=centred))
        z = weigh(jax.random.key(3), positions)
        parts = jnp.concatenate(
            [weigh(jax.random.key(3), positions[i : i + 8]) for i in range(0, 64, 8)]
        )
        np.testing.assert_array_equal(z, parts)
        np.testing.assert_array_equal(z[::-1], weigh(jax.random.key(3), positions[::-1]))
        mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
        sharded = jax.device_put(positions, NamedSharding(mesh, P('data')))
        np.testing.assert_array_equal(z, weigh(jax.random.key(3), sharded))
        assert float(jnp.abs(z - weigh(jax.random.key(4), positions)).max()) > 0.1


def test_centred_weights_sum_to_the_batch_size():
    weigh = example_weights(2, 16, centred=True)
    z = weigh(jax.random.key(0), jnp.arange(48, dtype=jnp.uint32))
    np.testing.assert_allclose(z.reshape(3, 16).sum(1), 16.0, rtol=1e-6)
    assert float(z.std()) > 1
    with pytest.raises(ValueError, match='batch_size is 15'):
        example_weights(2, 15, centred=True)


def test_example_weight_numbers_may_be_traced():
    positions = jnp.arange(6, dtype=jnp.uint32)

    def weigh(m, b, n):
        return example_weights(m, b, n)(jax.random.key(1), positions)

    numbers = jnp.array([[4, 64, 100], [8, 64, 1000], [64, 32, 100]])
    found = jax.jit(jax.vmap(lambda x: weigh(*x)))(numbers)
    for row, (m, b, n) in zip(found, numbers.tolist()):
        np.testing.assert_allclose(row, weigh(m, b, n), rtol=1e-6)
    # s^2 is exact: the same normal draws, scaled.
    draws, infinite = found[0] - 1, weigh(4, 64, 1e9) - 1
    np.testing.assert_allclose(draws / infinite, np.sqrt(100 / 99), rtol=1e-5)
    np.testing.assert_allclose((weigh(8, 64, 1e9) - 1) / infinite, np.sqrt(7 / 15), rtol=1e-5)
    # a batch smaller than the matched one gets no noise
    np.testing.assert_array_equal(found[2], 1.0)
    assert optimizers.example_weights is example_weights
