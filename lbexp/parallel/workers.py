"""The workers of a trial: an axis of arrays that one device goes through and several devices share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Workers(NamedTuple):
    """Functions over the workers' axis, the first of an array; a device sees those of its own workers."""

    count: int  # W, on all devices
    here: Callable  # () -> numbers of the workers on this device, uint32
    each: Callable  # f of one worker's arrays -> f of this device's workers' arrays
    mean: Callable  # arrays over workers -> their mean over all W, the same on every device


def workers(count: int, axis: str | None = None) -> Workers:
    """W workers on one device, or over the devices of a mesh axis, inside jax.shard_map.

    A CPU goes through its workers one after another (lax.map), an accelerator takes them as one batched program (vmap):
    the rule of parallel.mesh.shape for trials. A loop over workers in every step copies what they hold, so a lone
    trial of a multilayer perceptron can be faster with vmap on a CPU too: scripts/benchmarks/replicas.py measures both.

    Args:
        count: W >= 1.
        axis: the mesh axis that the workers lie along; its size divides W. None: one device has all.
    """

    def here():
        if axis is None:
            return jnp.arange(count, dtype=jnp.uint32)
        own = count // jax.lax.axis_size(axis)
        return (jax.lax.axis_index(axis) * own).astype(jnp.uint32) + jnp.arange(own, dtype=jnp.uint32)

    def mean(tree: Any) -> Any:
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=0), tree)
        sums = sums if axis is None else jax.lax.psum(sums, axis)
        return jax.tree.map(lambda total, x: (total / count).astype(_floating(x)), sums, tree)

    return Workers(count, here, _mapped if jax.default_backend() == 'cpu' else jax.vmap, mean)


def _mapped(f):
    def over(*arrays):
        if jax.tree.leaves(arrays)[0].shape[0] > 1:
            return jax.lax.map(lambda one: f(*one), arrays)
        # A loop would copy what a lone worker holds, in and out.
        return jax.tree.map(lambda x: x[None], f(*jax.tree.map(lambda x: x[0], arrays)))

    return over


def _floating(x):
    return x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.float32
