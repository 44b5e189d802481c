"""What a layer is, and the norms of all layers at once."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


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


def norms(
    arrays: Sequence[jax.Array], ranks: Sequence[int], axis_name: Any = None, stored: int | None = None
) -> list[jax.Array]:
    """|x| of every layer of every array: read once each, and one all-reduce for all of them.

    Sums are in float32 (float64 for float64) also for half precision. Where a sum of squares leaves the safe range
    (|x| below 1e-12 or above 1e15 in float32), all are computed again with each layer scaled by its largest element,
    which is exact from 1e-38 to 1e38. That branch is skipped otherwise, under vmap where no replica needs it.

    Args:
        arrays: any shapes and dtypes, complex too.
        ranks: leading axes of each that count layers.
        axis_name: mesh axis, or axes, of a shard_map over which the arrays are split; None: arrays are whole. Arrays
            that are the same on all devices may be among them (as long as shard_map checks that: check_vma).
        stored: how many of the arrays, the first ones, lie in memory. The others are computed, and are summed where
            they are. None: all.

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
    shares = _shares(arrays, axis_name)
    stored = len(arrays) if stored is None else stored
    of = lambda parts, stored: [
        _squares(x, rank, i < stored) * share
        for i, (x, rank, share) in enumerate(zip(parts, ranks, shares, strict=True))
    ]
    squares = total(flat(of(arrays, stored)))
    low, high = (1e-24, 1e30) if dtype == jnp.float32 else (1e-290, 1e290)

    def scaled(arrays):
        peak = largest(flat([_peak(x, rank) for x, rank in zip(arrays, ranks, strict=True)]))
        peak = jnp.where((peak > 0) & jnp.isfinite(peak), peak, 1)
        small = [_divided(x, p) for x, p in zip(arrays, _split(peak, shapes), strict=True)]
        return peak * jnp.sqrt(total(flat(of(small, 0))))

    # A sum of exactly 0 may be underflow or a layer of zeros: the scaled pass tells them apart.
    doubtful = ~((squares >= low) & (squares <= high))
    return _split(_where_any(doubtful.any(), scaled, jnp.sqrt(squares), list(arrays)), shapes)


def spread(values: jax.Array, leaf: jax.Array) -> jax.Array:
    """A number per layer, [stack...], with axes of length 1 so that it meets `leaf`."""
    return values.reshape(values.shape + (1,) * (leaf.ndim - values.ndim))


def wide(x: jax.Array) -> jax.Array:
    """`x` in the precision that updates are computed in: float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _real(x):
    """The dtype of norms of `x`."""
    return jnp.float64 if x.dtype in (jnp.float64, jnp.complex128) else jnp.float32


def _where_any(predicate, change, value, arrays):
    """`change(arrays)` if `predicate`, else `value`; `change` closes over no arrays.

    A plain conditional becomes a select under vmap, which computes both sides always; here it stays a conditional on
    whether any replica's predicate holds. (A loop that runs at most once stays one too, but XLA copies the arrays.)
    """

    @jax.custom_batching.custom_vmap
    def choose(predicate, value, arrays):
        return lax.cond(predicate, lambda: change(arrays), lambda: value)

    @choose.def_vmap
    def batched(size, is_batched, predicate, value, arrays):
        axes = jax.tree.map(lambda b: 0 if b else None, is_batched)

        def every(given):
            one = lambda p, v, a: jnp.where(p, change(a), v)
            return jax.vmap(one, axes, axis_size=size)(*given)

        spread_out = value if is_batched[1] else jnp.broadcast_to(value, (size, *value.shape))
        return _where_any(jnp.any(predicate), every, spread_out, (predicate, value, arrays)), True

    return choose(predicate, value, arrays)


def _shares(arrays, axis_name):
    """What each device's sum counts for: less than 1 where several devices hold the same array."""
    if axis_name is None:
        return [1] * len(arrays)
    names = (axis_name,) if isinstance(axis_name, str) else tuple(axis_name)
    varying = [_varying(x) for x in arrays]
    # Where nothing varies shard_map does not check, and does not know.
    repeated = [[name for name in names if any(varying) and name not in own] for own in varying]
    return [1 / math.prod(lax.axis_size(name) for name in some) for some in repeated]


def _varying(x):
    """The mesh axes along which devices hold different values."""
    kind = jax.typeof(x)
    return kind.vma if hasattr(kind, 'vma') else kind.manual_axis_type.varying


def _squares(x, rank, stored):
    """Sum of |x|^2 over all but the leading `rank` axes.

    Of an array in memory as a dot product, the faster way on CPU; of one that is computed as a sum, which joins that
    computation. (XLA adds in blocks, in both.)
    """
    batch, rest = tuple(range(rank)), tuple(range(rank, x.ndim))
    if not stored:
        return jnp.sum(jnp.square(wide(x)) if not jnp.iscomplexobj(x) else (x * x.conj()).real, axis=rest)
    dimensions = ((rest, rest), (batch, batch))
    exact = lax.Precision.HIGHEST  # the default of a TPU multiplies in bfloat16
    if jnp.iscomplexobj(x):
        return lax.dot_general(x.conj(), x, dimensions, exact).real
    return lax.dot_general(x, x, dimensions, exact, preferred_element_type=_real(x))


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
