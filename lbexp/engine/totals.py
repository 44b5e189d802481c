"""Sums of per-example values, and the means that they make."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.precision import upcast_dtype
from lbexp.workloads import Ratio


def zeros(values: Mapping[str, Any]) -> dict[str, Any]:
    """Sums over no examples of the values whose shapes these are."""
    return {name: jax.tree.map(_zero, value) for name, value in values.items()}


def total(value: Any, weight: Any = None) -> Any:
    """sum_n w_n v_n, in the precision in which values are added up; of a `Ratio` both its sums.

    Args:
        value: [n], or a Ratio of two.
        weight: w [n]; None: 1.
    """

    def summed(v):
        terms = v if weight is None else weight * v
        return jnp.sum(terms, dtype=upcast_dtype(v))

    return jax.tree.map(summed, value)


def means(sums: Mapping[str, Any], count: Any) -> dict[str, Any]:
    """Sums over `count` examples as means; of a `Ratio` the means of numerator and denominator,
    which may be averaged over workers still."""
    return {name: jax.tree.map(lambda v: v / count, value) for name, value in sums.items()}


def quotients(means: Mapping[str, Any]) -> dict[str, Any]:
    """Means as metrics: of a `Ratio` its value."""
    metrics = {}
    for name, mean in means.items():
        if isinstance(mean, Ratio):
            mean = mean.numerator / mean.denominator
        metrics[name] = mean
    return metrics


def _zero(value):
    return jnp.zeros((), upcast_dtype(value))
