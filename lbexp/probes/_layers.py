"""Sums over the entries of each layer."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from lbexp import optimizers
from lbexp.optimizers._layerwise.layers import StackedAxes as StackedAxes
from lbexp.precision import upcast

_SMALL = 4096  # entries, of which a sum takes no longer than its launch, on a CPU 0.5 us


def by_path(tree: Any, params: Any, stacked_axes: StackedAxes) -> dict[str, jax.Array]:
    """{path of a leaf: the sum over each layer in it of the leaf of `tree`, float32 at least}: a
    number, or an array over the layers that are stacked in it.

    Args:
        tree: like the parameters.
        stacked_axes: as in optimizers.layers.
    """
    stacks = optimizers.layers(params, stacked_axes)
    sums = {}
    for (path, stack), leaf in zip(stacks.items(), jax.tree.leaves(tree), strict=True):
        axes = tuple(range(len(stack), leaf.ndim))
        sums[path] = jnp.sum(upcast(leaf), axis=axes)
    return sums


def square(tree: Any) -> jax.Array:
    """The sum of squares over all leaves, float32 at least. Those of small leaves are one sum."""
    small, sums = [], []
    for leaf in map(upcast, jax.tree.leaves(tree)):
        if leaf.size < _SMALL:
            small.append(leaf.reshape(-1))
        else:
            sums.append(jnp.sum(jnp.square(leaf)))
    if small:
        sums.append(jnp.sum(jnp.square(jnp.concatenate(small))))
    return functools.reduce(jnp.add, sums)
