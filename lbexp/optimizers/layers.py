"""What a layer is, and the norms of all layers at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from lbexp.optimizers.conditional import rarely


class LayerFacts(NamedTuple):
    """What a layerwise optimizer did at its last update: a number for each adapted layer, in vectors [layers].

    Vectors, because they are not shaped like parameters: what maps over a state's parameters passes them by.
    """

    leaf: jax.Array  # int32, position of the layer's leaf among the leaves of the parameters
    weight_norm: jax.Array  # |w| before the update
    direction_norm: jax.Array  # norm in the ratio's denominator (of the gradient, or of the direction)
    ratio: jax.Array  # trust ratio
    clipped: jax.Array  # bool, the ratio met one of its bounds
    learning_rate: jax.Array  # scalar


def layers(params: Any, stacked_axes: Any = 0) -> dict[str, tuple[int, ...]]:
    """{path: how many layers the leaf holds, by stacked axis}; () for a leaf that is one layer."""
    ranks = jax.tree.leaves(stacked(params, stacked_axes))
    leaves, names = jax.tree.leaves(params), jax.tree.leaves(paths(params))
    return {name: leaf.shape[:rank] for name, leaf, rank in zip(names, leaves, ranks, strict=True)}


def stacked(params: Any, stacked_axes: Any) -> Any:
    """How many leading axes of each leaf count layers: a tree of ints.

    A layer is what one trust ratio belongs to. A leaf is one layer, unless leading axes say otherwise: under nn.scan
    the kernels of L layers are one leaf [L, ...], and one ratio for all of them is wrong for each.

    Args:
        stacked_axes: an int for all leaves; {regular expression: int} for paths ('blocks/Dense_0/kernel'), the first
            that matches counts, 0 where none does; or a function path -> int.

    Raises:
        ValueError: an expression matches no path, or a leaf has fewer axes.
    """
    names = paths(params)
    if isinstance(stacked_axes, Mapping):
        known = jax.tree.leaves(names)
        for pattern in stacked_axes:
            if known and not any(re.search(pattern, name) for name in known):
                raise ValueError(f'stacked_axes: {pattern!r} matches no parameter. There are: {", ".join(known)}')
        count = lambda name: next((n for pattern, n in stacked_axes.items() if re.search(pattern, name)), 0)
    else:
        count = stacked_axes if isinstance(stacked_axes, Callable) else lambda name: stacked_axes

    def checked(name, leaf):
        if not 0 <= count(name) <= leaf.ndim:
            raise ValueError(f'stacked_axes: found {count(name)} for {name!r}, which has {leaf.ndim} axes')
        return count(name)

    return jax.tree.map(checked, names, params)


def paths(params: Any) -> Any:
    """A tree of the leaves' paths, 'Dense_0/kernel'."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path, simple=True, separator='/'), params
    )


def norms(arrays: Sequence[jax.Array], ranks: Sequence[int], axis_name: Any = None) -> list[jax.Array]:
    """|x| of every layer of every array: one dot product each, and one all-reduce for all of them.

    Sums are in float32 (float64 for float64) also for half precision. Where a sum of squares leaves the safe range
    (|x| below 1e-15 or above 1e15 in float32), all are computed again with each layer scaled by its largest element,
    which is exact from 1e-38 to 1e38. That happens in a loop that otherwise runs zero times, also under vmap.

    Args:
        arrays: any shapes and dtypes, complex too.
        ranks: leading axes of each that count layers.
        axis_name: mesh axis, or axes, of a shard_map over which the arrays are split; None: arrays are whole.

    Returns:
        For each array its norms, of shape array.shape[:rank].
    """
    if not arrays:
        return []
    shapes = [x.shape[:rank] for x, rank in zip(arrays, ranks, strict=True)]
    dtype = jnp.result_type(*(_real(x) for x in arrays))
    flat = lambda parts: jnp.concatenate([part.reshape(-1).astype(dtype) for part in parts])
    total = (lambda x: x) if axis_name is None else (lambda x: lax.psum(x, axis_name))
    largest = (lambda x: x) if axis_name is None else (lambda x: lax.pmax(x, axis_name))
    squares = total(flat([_squares(x, rank) for x, rank in zip(arrays, ranks, strict=True)]))
    low, high = (1e-30, 1e30) if dtype == jnp.float32 else (1e-290, 1e290)

    def scaled(_, arrays):
        peak = largest(flat([_peak(x, rank) for x, rank in zip(arrays, ranks, strict=True)]))
        peak = jnp.where((peak > 0) & jnp.isfinite(peak), peak, 1)
        peaks = zip(arrays, ranks, _split(peak, shapes), strict=True)
        small = [_squares(_divided(x, p), rank) for x, rank, p in peaks]
        return peak * jnp.sqrt(total(flat(small)))

    # A sum of exactly 0 may be underflow or a layer of zeros: the scaled pass tells them apart.
    doubtful = ~((squares >= low) & (squares <= high))
    found, *_ = rarely(doubtful.any(), scaled, jnp.sqrt(squares), list(arrays))
    return _split(found, shapes)


def spread(values: jax.Array, leaf: jax.Array) -> jax.Array:
    """A number per layer, [stack...], with axes of length 1 so that it meets `leaf`."""
    return values.reshape(values.shape + (1,) * (leaf.ndim - values.ndim))


def wide(x: jax.Array) -> jax.Array:
    """`x` in the precision that updates are computed in: float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _real(x):
    """The dtype of norms of `x`."""
    return jnp.float64 if x.dtype in (jnp.float64, jnp.complex128) else jnp.float32


def _squares(x, rank):
    """Sum of |x|^2 over all but the leading `rank` axes, as a dot product: XLA's reductions on CPU use one lane."""
    batch, rest = tuple(range(rank)), tuple(range(rank, x.ndim))
    dimensions = ((rest, rest), (batch, batch))
    if jnp.iscomplexobj(x):
        return lax.dot_general(x.conj(), x, dimensions).real
    return lax.dot_general(x, x, dimensions, preferred_element_type=_real(x))


def _peak(x, rank):
    return jnp.max(jnp.abs(wide(x)), axis=tuple(range(rank, x.ndim)), initial=0)


def _divided(x, peak):
    return wide(x) / spread(peak.astype(_real(x)), x)


def _split(flat, shapes):
    parts, at = [], 0
    for shape in shapes:
        size = 1
        for n in shape:
            size *= n
        parts.append(flat[at : at + size].reshape(shape))
        at += size
    return parts
