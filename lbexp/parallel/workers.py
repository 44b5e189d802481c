"""The workers of a trial: an axis of arrays that one device goes through and several devices
share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Workers(NamedTuple):
    """Functions over the workers' axis, the first of an array; a device sees those of its own
    workers."""

    count: int  # W, on all devices
    here: Callable  # () -> numbers of the workers on this device, uint32
    each: Callable  # f of one worker's arrays -> f of this device's workers' arrays
    mean: Callable  # arrays over workers -> their mean over all W, the same on every device


def workers(count: int, axis: str | None = None) -> Workers:
    """W workers on one device, or over the devices of a mesh axis, inside jax.shard_map.

    They are one batched program (vmap) everywhere. On a CPU a loop over them (lax.map), as over
    trials, copies what they hold in every step: local SGD of 2 workers on fashion_mlp, a lone trial
    on one device of 2 cores, takes 1.8 (k 8) and 2.2 (k 64) times as long with it
    (scripts/benchmarks/replicas.py).

    Args:
        count: W >= 1.
        axis: the mesh axis that the workers lie along; its size divides W. None: one device has
            all.
    """

    def here():
        if axis is None:
            return jnp.arange(count, dtype=jnp.uint32)
        share = count // jax.lax.axis_size(axis)
        return (jax.lax.axis_index(axis) * share).astype(jnp.uint32) + jnp.arange(
            share, dtype=jnp.uint32
        )

    def mean(tree: Any) -> Any:
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=0), tree)
        sums = sums if axis is None else jax.lax.psum(sums, axis)
        return jax.tree.map(lambda total, x: (total / count).astype(_floating(x)), sums, tree)

    return Workers(count, here, _each, mean)


def _each(f):
    def over(*arrays):
        if jax.tree.leaves(arrays)[0].shape[0] > 1:
            return jax.vmap(f)(*arrays)
        # A lone worker computes what a trial without workers does, to the bit.
        return jax.tree.map(lambda x: x[None], f(*jax.tree.map(lambda x: x[0], arrays)))

    return over


def _floating(x):
    return x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.float32
