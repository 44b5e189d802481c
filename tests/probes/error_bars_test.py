"""The error bars of stationary moments against the spread of many runs with known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probed import ar1, watch
from scipy.stats import t as student

from lbexp.probes.stationary_moments import stationary_moments


@pytest.fixture(scope='module')
def many_runs():
    """400 runs of an AR(1) process of variance 4, each with its own probe."""
    series = jnp.asarray(ar1(0.8, 4000, (400, 2), scale=2.0).swapaxes(0, 1))

    def one(x):
        return watch(stationary_moments(), {'w': x}, jnp.square(x[:, 0]))

    return jax.jit(jax.vmap(one))(series)


@pytest.mark.parametrize(
    'name, truth',
    [
        ('fast_variance', 4.0),
        ('fast_mean', 0.0),
        ('fast_coordinate_variance', 4.0),
        ('fast_coordinate_mean', 0.0),
        ('fast_loss_mean', 4.0),
        ('fast_loss_variance', 32.0),  # of the square of a normal of variance 4
    ],
)
def test_error_bars_cover(many_runs, name, truth):
    """4000 values are worth 444 (mean) or 880 (variance) independent ones; 95 % intervals, 30
    degrees of freedom."""
    value, error = np.asarray(many_runs[name]), np.asarray(many_runs[f'{name}_error'])
    batches = 4000 // 128
    assert value.mean() == pytest.approx(truth, abs=4.5 * value.std() / np.sqrt(400))
    np.testing.assert_allclose(np.sqrt(np.mean(error**2)), value.std(), rtol=0.15)
    covered = np.mean(np.abs(value - truth) < student.ppf(0.975, batches - 1) * error)
    assert 0.9 < covered < 0.985


@pytest.mark.long
def test_stationarity(many_runs):
    for name in ('fast_stationarity_z', 'fast_loss_stationarity_z'):
        z = np.asarray(many_runs[name])
        assert 0.8 < z.std() < 1.4 and np.mean(np.abs(z) > 4) < 0.02
    growing = ar1(0.5, 4000, (20,), seed=5) * np.linspace(0.5, 1.5, 4000, dtype='f4')[:, None]
    assert watch(stationary_moments(), {'w': growing})['fast_stationarity_z'] < -4


@pytest.mark.long
def test_many_coordinates_have_leaf_errors():
    x = {'a': ar1(0.5, 2000, (100,), seed=3), 'b': ar1(0.5, 2000, (50,), seed=4, scale=3.0)}
    found = watch(stationary_moments(coordinates=64), x)
    assert 'fast_coordinate_variance' not in found
    expected = np.concatenate([x['a'].var(0), x['b'].var(0)]).mean()
    np.testing.assert_allclose(found['fast_variance'], expected, rtol=1e-4)
    truth = (100 * 1 + 50 * 9) / 150
    # Var of a sample variance: 2 V^2 (1 + r^2) / (1 - r^2) / T for each coordinate.
    error = np.sqrt((100 * 1 + 50 * 81) * 2 * (1.25 / 0.75) / 2000) / 150
    assert found['fast_variance_error'] == pytest.approx(error, rel=0.4)
    assert abs(found['fast_variance'] - truth) < 4 * error + truth * 3 / 2000
    few = watch(stationary_moments(coordinates=150), x)
    np.testing.assert_allclose(few['fast_variance_error'], found['fast_variance_error'], rtol=0.05)


@pytest.mark.long
@pytest.mark.parametrize('length', [1, 3, 40])
def test_population_is_unbiased_whatever_the_correlation(length):
    """The time variance of one replica over 3 correlated values is far too small; the pooled one is
    not."""
    replicas = 40_000
    x = ar1(0.95, length, (replicas, 2), seed=6, scale=3.0) + np.array([0.0, 5.0], 'f4')
    found = watch(stationary_moments(population=True), {'x': x})
    assert found['fast_coordinate_variance'].shape == (2,)
    for variance, error in (
        (found['fast_coordinate_variance'], found['fast_coordinate_variance_error']),
        (found['fast_variance'], found['fast_variance_error']),
    ):
        assert (np.abs(np.asarray(variance) - 9.0) < 4.5 * np.asarray(error)).all()
    np.testing.assert_allclose(
        found['fast_coordinate_mean'], [0.0, 5.0], atol=4.5 * 3 / np.sqrt(replicas)
    )
    if length == 1:
        np.testing.assert_allclose(
            found['fast_coordinate_variance'], x[0].var(0, ddof=1), rtol=1e-4
        )
        np.testing.assert_allclose(
            found['fast_coordinate_variance_error'], 9 * np.sqrt(2 / replicas), rtol=0.05
        )


@pytest.mark.long
def test_population_errors_cover():
    series = jnp.asarray(ar1(0.9, 20, (300, 200), seed=7).transpose(1, 0, 2)[..., None])

    def one(x):
        return watch(stationary_moments(population=True), {'x': x})

    found = jax.jit(jax.vmap(one, in_axes=2))(series.transpose(1, 0, 2, 3))
    z = (np.asarray(found['fast_variance']) - 1) / np.asarray(found['fast_variance_error'])
    assert abs(z.mean()) < 0.35 and 0.8 < z.std() < 1.25
