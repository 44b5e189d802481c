"""Weights that balance over epochs: against small batches of reshuffled epochs, on a linear
regression at rest."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.data.order import order
from lbexp.optimizers import balanced_weights, example_weights

N, SMALL, LARGE, RATE, FEATURES = 256, 8, 32, 0.01, 4
LENGTH = LARGE // SMALL  # epochs in which the noise balances


@pytest.fixture(scope='module')
def data():
    generator = np.random.default_rng(0)
    x = generator.standard_normal((N, FEATURES))
    y = x @ np.ones(FEATURES) + generator.standard_normal(N)
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)


def read(seed):
    return jax.jit(functools.partial(order, jnp.uint32(seed), size=N))


def variance_at_rest(data, batch, weights, seeds=48, updates=2000, skip=500):
    """(mean over seeds of the variance of the weights around the minimum, its standard error)."""
    x, y = data
    best = jnp.linalg.lstsq(x, y)[0]

    def run(seed):
        def indices(positions):
            return order(seed, positions, N)

        weigh = weights(indices)

        def update(w, t):
            positions = t.astype(jnp.uint32) * batch + jnp.arange(batch, dtype=jnp.uint32)
            at = indices(positions)
            z = weigh(jax.random.key(seed), positions)
            w = w - RATE * x[at].T @ (z * (x[at] @ w - y[at])) / batch
            return w, jnp.sum((w - best) ** 2)

        return jax.lax.scan(update, best, jnp.arange(updates))[1][skip:].mean()

    found = np.asarray(jax.jit(jax.vmap(run))(jnp.arange(seeds, dtype=jnp.uint32)))
    return found.mean(), found.std() / np.sqrt(seeds)


def test_parameters_at_rest_vary_as_with_the_small_batch(data):
    def ones(indices):
        return lambda key, positions: jnp.ones(positions.shape)

    small, error = variance_at_rest(data, SMALL, ones)
    balanced, error_of_balanced = variance_at_rest(
        data, LARGE, lambda indices: balanced_weights(SMALL, LARGE, N, indices)
    )
    ratio = balanced / small
    error_of_ratio = ratio * np.hypot(error / small, error_of_balanced / balanced)
    assert error_of_ratio < 0.05
    assert abs(ratio - 1) < 4 * error_of_ratio
    # Drawn anew in every epoch they vary many times as much: this is what the balance is for.
    independent, _ = variance_at_rest(
        data, LARGE, lambda indices: example_weights(SMALL, LARGE, N), seeds=8
    )
    assert independent / small > 3


def test_every_example_counts_once_in_a_cycle():
    weigh = jax.jit(balanced_weights(SMALL, LARGE, N, read(5)))
    for cycle in (0, 3):
        positions = jnp.arange(LENGTH * N, dtype=jnp.uint32) + cycle * LENGTH * N
        z = np.asarray(weigh(jax.random.key(1), positions))
        total = np.zeros(N)
        np.add.at(total, np.asarray(read(5)(positions)), z)
        np.testing.assert_array_equal(total, LENGTH)
        assert set(np.unique(z)) == {0.0, float(LENGTH)}
    # Another cycle, another choice.
    first = weigh(jax.random.key(1), jnp.arange(N, dtype=jnp.uint32))
    assert not np.array_equal(first, z[:N])


def test_covariance_within_and_between_updates():
    """Of gradients that are one number an example, of mean 0: S / m (1 - m / N), and -S / N between
    updates."""
    g = np.random.default_rng(1).standard_normal(N)
    g = jnp.asarray((g - g.mean()) / g.std(), jnp.float32)

    def cycle(seed):
        positions = jnp.arange(LENGTH * N, dtype=jnp.uint32)
        indices = order(seed, positions, N)
        z = balanced_weights(SMALL, LARGE, N, lambda p: order(seed, p, N))(
            jax.random.key(seed), positions
        )
        return (z * g[indices]).reshape(-1, LARGE).mean(1)

    noise = np.asarray(jax.jit(jax.vmap(cycle))(jnp.arange(4000, dtype=jnp.uint32)), np.float64)
    updates = noise.shape[1]
    np.testing.assert_allclose(noise.sum(1), 0, atol=1e-5)
    own = (noise**2).mean(1)
    assert abs(own.mean() - (1 - SMALL / N) / SMALL) < 4 * own.std() / np.sqrt(len(own))
    for lag in (1, updates // 2):
        between = (noise[:, lag:] * noise[:, :-lag]).mean(1)
        error = between.std() / np.sqrt(len(between))
        assert abs(between.mean() + 1 / N) < 4 * error
        assert error < 0.25 / N  # so that no correlation at all would be seen


def test_weights_are_a_function_of_key_and_position():
    positions = jnp.arange(700, 828, dtype=jnp.uint32)
    weigh = jax.jit(balanced_weights(4, 64, 100))
    z = weigh(jax.random.key(3), positions)
    parts = jnp.concatenate(
        [weigh(jax.random.key(3), positions[i : i + 8]) for i in range(0, 128, 8)]
    )
    np.testing.assert_array_equal(z, parts)
    assert not np.array_equal(z, weigh(jax.random.key(4), positions))


@pytest.mark.long
def test_sizes():
    positions = jnp.arange(6, dtype=jnp.uint32)
    np.testing.assert_array_equal(balanced_weights(64, 32, 100)(jax.random.key(0), positions), 1.0)
    weigh = jax.jit(lambda m: balanced_weights(m, 64, 2)(jax.random.key(0), positions))
    for row, m in zip(jax.jit(jax.vmap(weigh))(jnp.array([8, 32])), (8, 32), strict=True):
        np.testing.assert_array_equal(row, weigh(m))
    with pytest.raises(ValueError, match='matched_batch_size: found 0'):
        balanced_weights(0, 64, 100)
    with pytest.raises(ValueError, match='dataset_size: found None'):
        balanced_weights(8, 64)(jax.random.key(0), positions)
