"""Streaming mean and variance of anything, mergeable, and standard errors that know of
autocorrelation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.precision import upcast_dtype
from lbexp.shapes import Batches, Count, Counts, FloatTree


class Moments(NamedTuple):
    """Welford's state: mean, and sum of squared deviations from it. Leaves are at least float32."""

    count: Counts  # values seen
    mean: FloatTree
    m2: FloatTree


class BatchMeans(NamedTuple):
    """Means over consecutive batches of a series. `length` doubles whenever all batches are
    full."""

    count: Count  # values seen
    length: Count  # values per batch
    means: Batches  # batch i < count // length is complete


def zeros(like: Any) -> Moments:
    """The state before the first value; `like` is a value, or its shapes and dtypes."""

    def empty():
        return jax.tree.map(lambda x: jnp.zeros(x.shape, upcast_dtype(x)), like)

    return Moments(jnp.zeros((), jnp.int32), empty(), empty())


def update(moments: Moments, value: Any) -> Moments:
    """Adds one value: mean += d / n, m2 += d (x - mean), d = x - old mean (Welford 1962). Never
    E[x^2] - E[x]^2."""
    count = moments.count + 1

    def moved(mean, x):
        return mean + (x - mean) * (1 / count.astype(mean.dtype))

    mean = jax.tree.map(moved, moments.mean, value)
    change = increments(moments, mean, value)
    m2 = jax.tree.map(jnp.add, moments.m2, change)
    return Moments(count, mean, m2)


def increments(moments: Moments, mean: FloatTree, value: Any) -> FloatTree:
    """What `value` adds to m2: (x - old mean)(x - new mean) >= 0."""
    return jax.tree.map(lambda old, new, x: (x - old) * (x - new), moments.mean, mean, value)


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both sets of values together (Chan, Golub, LeVeque 1979): segments, devices,
    hosts.

    mean = (n_a mean_a + n_b mean_b) / n,   m2 = m2_a + m2_b + (mean_b - mean_a)^2 n_a n_b / n
    """
    return merge_all(jax.tree.map(lambda x, y: jnp.stack([x, y]), a, b))


def merge_all(moments: Moments) -> Moments:
    """Merges along the first axis of every leaf: the states of many devices, replicas or segments,
    stacked."""
    count = jnp.sum(moments.count)

    def share(x):
        """n_i / n, beside the first axis of x."""
        fractions = (moments.count / jnp.maximum(count, 1)).astype(x.dtype)
        return fractions.reshape(-1, *[1] * (x.ndim - 1))

    mean = jax.tree.map(lambda m: jnp.sum(share(m) * m, axis=0), moments.mean)

    # Of many states: m2 = sum_i m2_i + n sum_i (n_i / n) (mean_i - mean)^2.
    def merged_m2(m2, means, mean):
        between = share(means) * (means - mean[None]) ** 2
        return jnp.sum(m2, axis=0) + count.astype(m2.dtype) * jnp.sum(between, axis=0)

    m2 = jax.tree.map(merged_m2, moments.m2, moments.mean, mean)
    return Moments(count, mean, m2)


def variance(moments: Moments, correction: int = 1) -> FloatTree:
    """m2 / (n - correction). Unbiased for independent values; NaN before there are enough.

    Autocorrelated values: the expectation is V (1 - (tau - 1) / n) to first order, with tau the
    autocorrelation time, as Var(mean) = tau V / n is missing. Adding the squared standard error of
    `standard_error` mends it.
    """
    return jax.tree.map(lambda m2: _divide(m2, moments.count - correction), moments.m2)


def batch_means(like: Any, batches: int = 32) -> BatchMeans:
    """The state before the first value of a series of values like `like`.

    Args:
        batches: an even number, >= 4. Between half of it and all of it are complete at any time.
    """
    if batches < 4 or batches % 2:
        raise ValueError(
            f'batches: found {batches}; allowed: an even number >= 4, as pairs are merged'
        )
    means = jax.tree.map(lambda x: jnp.zeros((batches, *x.shape), upcast_dtype(x)), like)
    return BatchMeans(jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32), means)


def push(series: BatchMeans, value: Any) -> BatchMeans:
    """Adds the next value of the series. Memory stays fixed: when all batches are full, neighbours
    are merged."""
    batch, place = series.count // series.length, series.count % series.length

    # A running mean: sums of a long batch would lose the digits of their last values.
    def add(means, x):
        return means.at[batch].add((x - means[batch]) * (1 / (place + 1).astype(means.dtype)))

    count = series.count + 1
    means = jax.tree.map(add, series.means, value)
    batches = jax.tree.leaves(means)[0].shape[0]

    def halve(means):
        pairs = jax.tree.map(lambda m: (m[0::2] + m[1::2]) / 2, means)
        return jax.tree.map(lambda m: jnp.concatenate([m, jnp.zeros_like(m)]), pairs)

    is_full = count == batches * series.length
    means = jax.lax.cond(is_full, halve, lambda means: means, means)
    length = jnp.where(is_full, 2 * series.length, series.length)
    return BatchMeans(count, length, means)


def standard_error(series: BatchMeans, of: Batches | None = None) -> FloatTree:
    """Standard error of the mean of an autocorrelated stationary series, by batch means.

        se^2 = b / T * 1 / (n - 1) sum_i (y_i - mean(y))^2

    with n complete batches of b values, T values in all. Its square is biased by about -(tau^2 - 1)
    / (2 tau b) of itself for an AR(1) process of autocorrelation time tau: batches must be long
    against tau, T >> 32 tau. Its relative standard deviation is 1 / sqrt(2 (n - 1)), 13 to 18 %
    with 32 batches: use Student's t, n - 1 degrees of freedom. NaN before there are 4 complete
    batches.

    Args:
        of: batch means to use in place of series.means: any linear function of them.

    Source: Law and Carson 1979; doubling: Flyvbjerg and Petersen 1989.
    """
    n = series.count // series.length

    def error(means):
        window = _window(means, 0, n)
        deviation = means - _average(means, window)[None]
        square = jnp.sum(window * deviation**2, axis=0)
        is_known, variance = n >= 4, _divide(square, n - 1)
        # b / T of the equation.
        factor = (series.length / jnp.maximum(series.count, 1)).astype(means.dtype)
        return jnp.where(is_known, jnp.sqrt(variance * factor), jnp.nan)

    return jax.tree.map(error, series.means if of is None else of)


def stationarity(
    series: BatchMeans, of: Batches | None = None, early: tuple[float, float] = (0.0, 0.25)
) -> FloatTree:
    """z: mean of an early stretch of the batches against that of the last half, in standard errors
    (Geweke 1992).

    The variance of a batch mean is pooled from the two windows, each about its own mean. At rest z
    follows Student's t with about 3 n / 4 - 2 degrees of freedom, n complete batches; |z| > 4 says
    that the run was still on its way. NaN before there are 8 complete batches.

    Args:
        of: as in standard_error.
        early: from, to, as fractions of the complete batches. (0.25, 0.5) for Welford's increments:
            the first tau or so of them are small, as the running mean still follows the values.
    """
    n = series.count // series.length

    def boundary(fraction):
        return jnp.floor(n * fraction).astype(jnp.int32)

    first, to = map(boundary, early)
    half = n // 2
    to = jnp.maximum(to, first + 1)

    def score(means):
        head, tail = _window(means, first, to), _window(means, n - half, n)
        early_mean, late_mean = _average(means, head), _average(means, tail)
        early_squares = head * (means - early_mean[None]) ** 2
        late_squares = tail * (means - late_mean[None]) ** 2
        square = jnp.sum(early_squares + late_squares, axis=0)
        # Var(a - b) = V (1 / n_a + 1 / n_b), V pooled with n_a + n_b - 2 degrees of freedom.
        share = (1 / jnp.maximum(to - first, 1) + 1 / jnp.maximum(half, 1)).astype(means.dtype)
        variance = _divide(square, to - first + half - 2) * share
        z = (early_mean - late_mean) / jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
        is_known = n >= 8
        # A series that never moves is at rest.
        z = jnp.where(variance > 0, z, 0.0)
        return jnp.where(is_known, z, jnp.nan)

    return jax.tree.map(score, series.means if of is None else of)


def _divide(value, count):
    """value / count, NaN where count < 1."""
    # A reciprocal multiplied: of a quotient of an array programs make different ones.
    return jnp.where(count >= 1, value * (1 / jnp.maximum(count, 1).astype(value.dtype)), jnp.nan)


def _window(means, first, last):
    index = jnp.arange(means.shape[0])
    inside = (index >= first) & (index < last)
    return inside.astype(means.dtype).reshape(-1, *[1] * (means.ndim - 1))


def _average(means, window):
    return jnp.sum(window * means, axis=0) / jnp.maximum(jnp.sum(window), 1.0)
