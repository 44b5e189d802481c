"""What was measured between two rows: means, and their errors by batch means."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import t as student

from lbexp import moments

# Values that wait before they are added to the batches. At each update that would be some twenty
# operations on a few numbers, of which the time is the launching: 15 % of a small network's step.
_WAITING = 32


class Window(NamedTuple):
    series: moments.BatchMeans  # of the values measured since the last row: all of them at a row
    waiting: Any  # [_WAITING, ...], of which the first `count` are not in the series yet
    count: jax.Array  # int32
    is_over: jax.Array  # bool: the row of the series is written: the next one begins another


def window(like: Any, batches: int) -> Window:
    """A window without values.

    Args:
        like: a tree of values.
        batches: even, >= 4.
    """
    series = moments.batch_means(like, batches)

    def room(means):
        return jnp.zeros((_WAITING, *means.shape[1:]), means.dtype)

    waiting = jax.tree.map(room, series.means)
    return Window(series, waiting, jnp.zeros((), jnp.int32), jnp.zeros((), bool))


def add(state: Window, due: Any, value: Any, is_row: jax.Array) -> Window:
    """Adds `value` where it is due, and is not looked at where it is not; `is_row`: a row
    follows."""

    def put(waiting, x):
        # What is not due lies where the next value will.
        x = x.astype(waiting.dtype)
        return jax.lax.dynamic_update_index_in_dim(waiting, x, state.count, axis=0)

    waiting = jax.tree.map(put, state.waiting, value)
    count = state.count + jnp.asarray(due, jnp.int32)

    def added():
        series = jax.lax.fori_loop(
            0, count, lambda i, series: moments.push(series, _at(waiting, i)), _begun(state)
        )
        return series, jnp.zeros_like(count), is_row

    series, count, is_over = jax.lax.cond(
        is_row | (count == _WAITING), added, lambda: (state.series, count, state.is_over)
    )
    return Window(series, waiting, count, is_over)


def computed(due: Any, value: Callable[[], Any]) -> Any:
    """value() where it is due, else zeros, for `add`: of what costs more than a few operations."""
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(value))
    return jax.lax.cond(due, value, lambda: zeros)


def _begun(state):
    """The series, empty after a row."""
    empty = jax.tree.map(jnp.zeros_like, state.series)
    empty = empty._replace(length=jnp.ones_like(state.series.length))
    return jax.tree.map(lambda x, zero: jnp.where(state.is_over, zero, x), state.series, empty)


def _at(waiting, i):
    return jax.tree.map(lambda values: values[i], waiting)


def mean(series: moments.BatchMeans) -> Any:
    """Mean of all values, also of those whose batch is not complete; NaN without any."""

    def of_leaf(means):
        begun = series.count - series.length * jnp.arange(means.shape[0])
        weights = jnp.clip(begun, 0, series.length).astype(means.dtype)
        total = jnp.tensordot(weights, means, axes=1)
        return jnp.where(series.count > 0, total * _reciprocal(series.count), jnp.nan)

    return jax.tree.map(of_leaf, series.means)


def covariance(series: moments.BatchMeans, means: jax.Array) -> jax.Array:
    """Covariance of the means of several quantities, [p, p], as moments.standard_error has the
    variance of one. NaN before 4 complete batches.

    Args:
        means: batch means of the quantities [batches, p].
    """
    count = series.count // series.length
    is_complete = jnp.arange(means.shape[0]) < count
    weights = is_complete.astype(means.dtype)[:, None]
    centre = jnp.sum(weights * means, axis=0) * _reciprocal(count)
    away = weights * (means - centre[None])
    share = series.length * _reciprocal(series.count)
    variance = away.T @ away * (_reciprocal(count - 1) * share)
    return jnp.where(count >= 4, variance, jnp.nan)


def quantile(series: moments.BatchMeans) -> jax.Array:
    """97.5 % quantile of Student's t with as many degrees of freedom as complete batches allow; NaN
    before there are 4 of them."""
    batches = jax.tree.leaves(series.means)[0].shape[0]
    freedom = np.arange(1, batches)
    table = jnp.asarray(student.ppf(0.975, freedom), jnp.float32)
    count = series.count // series.length
    return jnp.where(count >= 4, table[jnp.maximum(count - 2, 0)], jnp.nan)


def _reciprocal(count):
    """1 / count, 1 below 1. To be multiplied with: of a quotient programs make different ones."""
    return 1 / jnp.maximum(count, 1)
