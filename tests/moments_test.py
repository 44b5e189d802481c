"""Streaming moments against NumPy on the stored values; error bars against the spread of many
independent runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import PartitionSpec as P

from lbexp import moments

pytestmark = pytest.mark.quick


def fold(values, like=None):
    start = moments.zeros(jax.tree.map(lambda x: x[0], values))
    return jax.lax.scan(lambda m, x: (moments.update(m, x), None), start, values)[0]


fold = jax.jit(fold)
update, push = jax.jit(moments.update), jax.jit(moments.push)


@jax.jit
def pushed(series, values):
    """The series with the values [n, ...] behind it."""
    return jax.lax.scan(lambda s, x: (moments.push(s, x), None), series, values)[0]


def test_mean_and_variance_of_a_tree():
    generator = np.random.default_rng(0)
    values = {
        'a': generator.normal(3, 2, (50, 4)).astype('f4'),
        'b': [generator.normal(size=(50, 2, 3)).astype('f4')],
    }
    found = fold(values)
    assert found.count == 50
    for stored, mean, variance in zip(
        jax.tree.leaves(values),
        jax.tree.leaves(found.mean),
        jax.tree.leaves(moments.variance(found)),
    ):
        np.testing.assert_allclose(mean, stored.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(variance, stored.var(0, ddof=1), rtol=1e-5)


def test_small_spread_around_a_large_mean():
    """E x^2 - (E x)^2 would have no digit left: mean 1e4, variance 1, in float32."""
    values = (1e4 + np.random.default_rng(1).normal(size=4000)).astype('f4')
    np.testing.assert_allclose(
        moments.variance(fold(values)), values.astype('f8').var(ddof=1), rtol=2e-3
    )


def test_half_precision_is_measured_in_float32():
    found = fold(jnp.ones((300, 2), jnp.bfloat16) * 3)
    assert found.mean.dtype == jnp.float32
    np.testing.assert_array_equal(found.mean, 3.0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=30), st.data())
def test_merge_is_as_if_all_came_in_one_stream(values, data):
    cut = data.draw(st.integers(0, len(values)))
    values = np.asarray(values, 'f4')
    parts = []
    for part in (values[:cut], values[cut:]):
        m = moments.zeros(jax.ShapeDtypeStruct((), jnp.float32))
        for x in part:
            m = update(m, x)
        parts.append(m)
    for both in (moments.merge(*parts), moments.merge(*parts[::-1])):
        assert both.count == len(values)
        np.testing.assert_allclose(both.mean, values.astype('f8').mean(), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(
            both.m2, values.astype('f8').var() * len(values), rtol=1e-3, atol=1e-2
        )


def test_merge_of_nothing_is_nothing():
    empty = moments.zeros(jnp.zeros(3))
    both = moments.merge(empty, empty)
    assert both.count == 0 and not np.isnan(both.mean).any()
    assert np.isnan(moments.variance(both)).all()


def test_merge_over_devices():
    """Eight devices see a stretch each; their merged state is that of the whole series."""
    values = np.random.default_rng(2).normal(5, 3, (8 * 40, 3)).astype('f4')
    mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))

    def stretch(x):
        return jax.tree.map(lambda leaf: leaf[None], fold(x))

    apart = jax.jit(
        jax.shard_map(stretch, mesh=mesh, in_specs=P('data'), out_specs=P('data'), check_vma=False)
    )(values)
    assert apart.count.shape == (8,)
    both, whole = moments.merge_all(apart), fold(values)
    assert both.count == whole.count
    np.testing.assert_allclose(both.mean, whole.mean, rtol=1e-5)
    np.testing.assert_allclose(both.m2, whole.m2, rtol=1e-5)


@pytest.mark.parametrize('length', [1, 5, 8, 9, 31, 32, 33, 100])
def test_batch_means_double_their_length(length):
    values = np.arange(1, length + 1, dtype='f4') ** 2
    found = moments.batch_means(jnp.zeros(()), 8)
    for x in values:
        found = push(found, x)
    b = int(found.length)
    complete = length // b
    assert found.count == length and b & (b - 1) == 0
    assert complete < 8 and (b == 1 or complete >= 4)
    expected = values[: complete * b].reshape(-1, b).mean(1)
    np.testing.assert_allclose(found.means[:complete], expected, rtol=1e-5)
    rest = values[complete * b :]
    assert found.means[complete] == pytest.approx(rest.mean() if len(rest) else 0.0, rel=1e-5)


def test_number_of_batches_is_checked():
    for batches in (3, 7, 2):
        with pytest.raises(ValueError, match=f'batches: found {batches}; allowed: an even number'):
            moments.batch_means(jnp.zeros(()), batches)


def ar1(r, length, runs, seed):
    """Stationary AR(1) series of variance 1, [length, runs]."""
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((length, runs)) * np.sqrt(1 - r**2)
    x, seen = generator.standard_normal(runs), []
    for e in noise:
        x = r * x + e
        seen.append(x)
    return np.asarray(seen, 'f4')


@pytest.fixture(scope='module')
def correlated():
    r, length, runs = 0.8, 3000, 1500
    values = ar1(r, length, runs, 3)
    empty = moments.batch_means(jnp.zeros(runs), 32)
    return r, values, pushed(empty, values)


def test_standard_error_knows_of_autocorrelation(correlated):
    """tau = 9: the naive error would be three times too small. 1500 runs, so the mean square is
    known to 1.5 %."""
    r, values, series = correlated
    errors = np.asarray(moments.standard_error(series))
    length = values.shape[0]
    lags = np.arange(1, length)
    exact = (1 + 2 * np.sum((1 - lags / length) * r**lags)) / length
    b, n = int(series.length), int(series.count // series.length)
    bias = -2 * r / ((1 - r**2) * b)
    assert abs(np.mean(errors**2) / exact - 1 - bias) < 0.05
    assert np.var(values.mean(0)) == pytest.approx(exact, rel=0.15)
    spread = np.std(errors) / np.mean(errors)
    assert spread == pytest.approx(1 / np.sqrt(2 * (n - 1)), rel=0.15)


def test_intervals_cover(correlated):
    """Student's t intervals of 95 % hold the true mean in 95 % of the runs, less what the bias
    costs."""
    from scipy.stats import t

    _, values, series = correlated
    n = int(series.count // series.length)
    half = t.ppf(0.975, n - 1) * np.asarray(moments.standard_error(series))
    covered = np.mean(np.abs(values.mean(0)) < half)
    assert 0.92 < covered < 0.97
    naive = 1.96 * values.std(0) / np.sqrt(values.shape[0])
    assert np.mean(np.abs(values.mean(0)) < naive) < 0.6


def test_stationarity_of_series_at_rest_and_on_the_way(correlated):
    _, values, series = correlated
    z = np.asarray(moments.stationarity(series))
    assert abs(z.mean()) < 0.12 and 0.9 < z.std() < 1.3
    assert np.mean(np.abs(z) > 4) < 0.01
    drifting = values + 3 * np.exp(-np.arange(values.shape[0]) / 500).astype('f4')[:, None]
    empty = moments.batch_means(jnp.zeros(values.shape[1]), 32)
    moved = pushed(empty, drifting)
    assert np.mean(np.asarray(moments.stationarity(moved)) > 4) > 0.95


def test_too_little_to_tell_is_nan():
    series = moments.batch_means(jnp.zeros(2), 8)
    for x in range(3):
        series = push(series, jnp.full(2, float(x)))
    assert np.isnan(moments.standard_error(series)).all()
    assert np.isnan(moments.stationarity(series)).all()
    series = push(series, jnp.full(2, 3.0))
    np.testing.assert_allclose(
        moments.standard_error(series), np.std([0, 1, 2, 3], ddof=1) / 2, rtol=1e-6
    )
