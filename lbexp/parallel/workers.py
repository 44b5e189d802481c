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


def workers(count: int, axes: tuple[str, ...] = ()) -> Workers:
    """W workers on one device, or over the devices of a mesh axis, inside jax.shard_map.

    They are one batched program (vmap) everywhere. On a CPU a loop over them (lax.map), as over
    trials, copies what they hold in every step: local SGD of 2 workers on fashion_mlp, a lone trial
    on one device of 2 cores, takes 1.8 (k 8) and 2.2 (k 64) times as long with it
    (scripts/benchmarks/replicas.py).

    Args:
        count: W >= 1.
        axes: of the mesh, that the workers lie along; their size divides W. (): one device has
            all. JAX's size is then 1, its index 0 and its sum that of one device.
    """

    def here():
        share = count // jax.lax.axis_size(axes)
        first = (jax.lax.axis_index(axes) * share).astype(jnp.uint32)
        return first + jnp.arange(share, dtype=jnp.uint32)

    def mean(tree: Any) -> Any:
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=0), tree)
        totals = jax.lax.psum(sums, axes)
        return jax.tree.map(lambda total, x: (total / count).astype(_floating(x)), totals, tree)

    return Workers(count, here, _each, mean)


def _each(f):
    def over(*arrays):
        workers_here = jax.tree.leaves(arrays)[0].shape[0]
        if workers_here > 1:
            return jax.vmap(f)(*arrays)
        # A lone worker computes what a trial without workers does, to the bit: under vmap XLA may
        # choose another kernel for a batch of one.
        of_worker = jax.tree.map(lambda x: x[0], arrays)
        return jax.tree.map(lambda x: x[None], f(*of_worker))

    return over


def _floating(x):
    """The dtype of a mean: that of `x`, or of a fraction where `x` counts."""
    if jnp.issubdtype(x.dtype, jnp.inexact):
        return x.dtype
    return jnp.float32
