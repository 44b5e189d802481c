"""What was measured between two rows: means, and their errors by batch means."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import t as student

from lbexp import moments


class Window(NamedTuple):
    series: moments.BatchMeans  # of the values measured since the last row
    is_over: jax.Array  # bool: its row is written: the next update begins another


def window(like: Any, batches: int) -> Window:
    """A window without values.

    Args:
        like: a tree of values.
        batches: even, >= 4.
    """
    return Window(moments.batch_means(like, batches), jnp.zeros((), bool))


def begin(state: Window) -> Window:
    """Empty after a row, else as it is: before an update is measured."""
    empty = jax.tree.map(jnp.zeros_like, state.series)
    empty = empty._replace(length=jnp.ones_like(state.series.length))
    series = jax.tree.map(lambda x, zero: jnp.where(state.is_over, zero, x), state.series, empty)
    return state._replace(series=series)


def measure(state: Window, due: Any, value: Callable[[], Any], is_row: jax.Array) -> Window:
    """Adds value() where it is due; `is_row`: a row follows."""
    state = begin(state)
    series = jax.lax.cond(due, lambda: moments.push(state.series, value()), lambda: state.series)
    return Window(series, is_row)


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
