"""The norms of all layers at once."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lbexp.optimizers._layerwise.backend import has_explicit_axes, on_cpu, whole
from lbexp.optimizers._layerwise.layers import expand_like
from lbexp.precision import upcast

AxisName = str | Sequence[str] | None  # mesh or vmap axes
_SUMS_PER_KERNEL = 8


def norms(
    arrays: Sequence[jax.Array],
    ranks: Sequence[int],
    axis_name: Any = None,
    stored: Sequence[bool] | None = None,
) -> list[jax.Array]:
    """|x| of every layer of every array: read once each, and one all-reduce for all of them.

    Sums are in float32 (float64 for float64) also for half precision. Where a sum of squares leaves
    the safe range (|x| below 1e-12 or above 1e15 in float32) a scaled one is taken. On CPU all are
    then computed again with each layer scaled by its largest element, which is exact from 1e-38 to
    1e38; that branch is skipped otherwise, under vmap where no replica needs it. Elsewhere two
    scaled sums are always made, which is exact for root mean squares above 1e-30 and norms below
    1e34.

    Args:
        arrays: any shapes and dtypes, complex too.
        ranks: leading axes of each that count layers.
        axis_name: mesh axis, or axes, of a shard_map over which the arrays are split; None: arrays
            are whole. Arrays that are the same on all devices may be among them (as long as
            shard_map checks that: check_vma).
        stored: whether each array lies in memory. Those that are computed are summed where they
            are. None: all do.

    Returns:
        For each array its norms, of shape array.shape[:rank].
    """
    if not arrays:
        return []
    shapes = [x.shape[:rank] for x, rank in zip(arrays, ranks, strict=True)]
    if stored is None:
        stored = [True] * len(arrays)
    add = functools.partial(_added, shares=_shares(arrays, axis_name), axis_name=axis_name)

    @jax.custom_jvp
    def all_norms(arrays):
        if on_cpu():
            return _by_branch(arrays, ranks, stored, add, axis_name)
        return _in_one_pass(arrays, ranks, add)

    @all_norms.defjvp
    def all_norms_jvp(primals, tangents):
        """d|x| = Re(x* dx) / |x|, 0 where x is."""
        (arrays,), (changes,) = primals, tangents
        norm = all_norms(arrays)
        inverse = _split(jnp.where(norm > 0, 1 / jnp.where(norm > 0, norm, 1), 0), shapes)
        parts = zip(arrays, inverse, changes, ranks, strict=True)
        return norm, add([_along(*part) for part in parts])

    return _split(all_norms(list(arrays)), shapes)


def pairs(
    weights: Sequence[jax.Array],
    directions: Sequence[jax.Array],
    ranks: Sequence[int],
    axis_name: Any = None,
    stored: bool = True,
) -> list[tuple[jax.Array, jax.Array]]:
    """(|w|, |d|) of each weight and its direction, as `norms` has them; `stored`: whether
    directions lie in memory."""
    # Side by side: a direction that is computed from its weights is then summed where they are
    # read.
    arrays = [x for pair in zip(weights, directions, strict=True) for x in pair]
    ranks_of_both = [rank for rank in ranks for _ in range(2)]
    values = norms(arrays, ranks_of_both, axis_name, [True, stored] * len(weights))
    return list(zip(values[::2], values[1::2], strict=True))


def _by_branch(arrays, ranks, stored, add, axis_name):
    """All norms [layers]: plain sums of squares, scaled ones in a branch that is seldom taken."""

    def sums_of_squares(parts, stored):
        return add([_squares(*part) for part in zip(parts, ranks, stored, strict=True)])

    squares = sums_of_squares(arrays, stored)
    single = any(_real(x) == jnp.float32 for x in arrays)  # some of the sums, if not all
    low, high = (1e-24, 1e30) if single else (1e-290, 1e290)

    def scaled(arrays):
        peak = _flat([_peak(x, rank) for x, rank in zip(arrays, ranks, strict=True)])
        if axis_name is not None:
            peak = lax.pmax(peak, axis_name)
        peak = jnp.where((peak > 0) & jnp.isfinite(peak), peak, 1)
        peaks = _split(peak, [x.shape[:rank] for x, rank in zip(arrays, ranks, strict=True)])
        parts = [_divided(x, p) for x, p in zip(arrays, peaks, strict=True)]
        return peak * jnp.sqrt(sums_of_squares(parts, [False] * len(arrays)))

    # A sum of exactly 0 may be underflow or a layer of zeros: the scaled pass tells them apart.
    doubtful = ~((squares >= low) & (squares <= high))
    return _where_any(doubtful.any(), scaled, jnp.sqrt(squares), list(arrays))


def _in_one_pass(arrays, ranks, add):
    """All norms [layers]: of two sums of scaled squares, the one that is finite and the finer."""
    dtype = jnp.result_type(*(_real(x) for x in arrays))
    unit, high = (2.0**50, 1e37) if dtype == jnp.float32 else (2.0**460, 1e307)
    up, down = add(*zip(*_sums_of_two(arrays, ranks, unit, dtype), strict=True))
    return jnp.where(up > high, jnp.sqrt(down) * unit, jnp.sqrt(up) / unit)


def _added(*sums, shares, axis_name):
    """Each list of sums by layer as one vector [layers], added up over devices in one
    all-reduce."""
    vectors = [
        _flat([part * share for part, share in zip(parts, shares, strict=True)]) for parts in sums
    ]
    local = vectors[0] if len(vectors) == 1 else jnp.stack(vectors)
    return local if axis_name is None else lax.psum(local, axis_name)


def _flat(parts):
    dtype = jnp.result_type(*parts)
    return jnp.concatenate([whole(part).reshape(-1).astype(dtype) for part in parts])


def _along(x, inverse, change, rank):
    """Sum of Re(x* change) / |x| over all but the leading `rank` axes."""
    direction = upcast(x).conj() * expand_like(inverse.astype(_real(x)), x)
    return jnp.sum((direction * change).real, axis=tuple(range(rank, x.ndim)))


def _real(x):
    """The dtype of norms of `x`."""
    return jnp.float64 if x.dtype in (jnp.float64, jnp.complex128) else jnp.float32


def _where_any(predicate, change, value, arrays):
    """`change(arrays)` if `predicate`, else `value`; `change` closes over no arrays.

    A plain conditional becomes a select under vmap, which computes both sides always; here it stays
    a conditional on whether any replica's predicate holds. (A loop that runs at most once stays one
    too, but XLA copies the arrays.)
    """

    @jax.custom_batching.custom_vmap
    def choose(predicate, value, arrays):
        return lax.cond(predicate, lambda: change(arrays), lambda: value)

    @choose.def_vmap
    def batched(size, is_batched, predicate, value, arrays):
        axes = jax.tree.map(lambda b: 0 if b else None, is_batched)

        def change_some(operands):
            def select(predicate, value, arrays):
                return jnp.where(predicate, change(arrays), value)

            return jax.vmap(select, axes, axis_size=size)(*operands)

        values = value if is_batched[1] else jnp.broadcast_to(value, (size, *value.shape))
        operands = (predicate, value, arrays)
        return _where_any(jnp.any(predicate), change_some, values, operands), True

    return choose(predicate, value, arrays)


def _shares(arrays, axis_name):
    """What each device's sum counts for: less than 1 where several devices hold the same array."""
    if axis_name is None:
        return [1] * len(arrays)
    names = (axis_name,) if isinstance(axis_name, str) else tuple(axis_name)
    varying = [_varying(x) for x in arrays]
    if not any(varying):  # shard_map does not check, and does not know
        return [1.0] * len(arrays)
    copies = []
    for axes in varying:
        copies.append(math.prod(lax.axis_size(name) for name in names if name not in axes))
    return [1 / count for count in copies]


def _varying(x):
    """The mesh axes along which devices hold different values."""
    kind = jax.typeof(x)
    return kind.vma if hasattr(kind, 'vma') else kind.manual_axis_type.varying


def _squares(x, rank, stored):
    """Sum of |x|^2 over all but the leading `rank` axes.

    Of an array in memory as a dot product, the faster way on CPU; of one that is computed as a sum,
    which joins that computation. (XLA adds in blocks, in both.)
    """
    batch, rest = tuple(range(rank)), tuple(range(rank, x.ndim))
    # Of split factors a dot product would have to be told how its result is split.
    if not stored or has_explicit_axes(x):
        return jnp.sum(_square(upcast(x)), axis=rest)
    dimensions = ((rest, rest), (batch, batch))
    exact = lax.Precision.HIGHEST  # whatever jax_default_matmul_precision says
    if jnp.iscomplexobj(x):
        return lax.dot_general(x.conj(), x, dimensions, exact).real
    return lax.dot_general(x, x, dimensions, exact, preferred_element_type=_real(x))


def _sums_of_two(arrays, ranks, unit, dtype):
    """(sum of |unit x|^2, sum of |x / unit|^2) for every layer of every array.

    Both as one complex sum: an operand that is used once XLA computes within the sum's kernel, one
    that is used twice it computes before and stores (LAMB moves 40 bytes a parameter so; 44 to 47
    with two or three real sums). Arrays of one shape are summed side by side, one kernel for some
    of them.
    """
    alike, sums = {}, [None] * len(arrays)
    for i, (x, rank) in enumerate(zip(arrays, ranks, strict=True)):
        alike.setdefault((x.shape, rank, _varying(x)), []).append(i)

    def scaled(x, scale):
        return _square(x.astype(jnp.promote_types(x.dtype, dtype)) * scale)

    def add_pairwise(a, b):
        return tuple(x + y for x, y in zip(a, b, strict=True))

    for (shape, rank, *_), members in alike.items():
        axes = tuple(range(rank, len(shape)))
        for start in range(0, len(members), _SUMS_PER_KERNEL):
            some = members[start : start + _SUMS_PER_KERNEL]
            terms = [
                lax.complex(scaled(arrays[i], unit), scaled(arrays[i], 1 / unit)) for i in some
            ]
            zeros = [jnp.zeros((), term.dtype) for term in terms]
            totals = lax.reduce(tuple(terms), tuple(zeros), add_pairwise, axes)
            for i, total in zip(some, totals, strict=True):
                sums[i] = (total.real, total.imag)
    return sums


def _square(x):
    return (x * x.conj()).real if jnp.iscomplexobj(x) else jnp.square(x)


def _peak(x, rank):
    return jnp.max(jnp.abs(upcast(x)), axis=tuple(range(rank, x.ndim)), initial=0)


def _divided(x, peak):
    return upcast(x) / expand_like(peak.astype(_real(x)), x)


def _split(flat, shapes):
    parts, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        parts.append(flat[start : start + size].reshape(shape))
        start += size
    return parts
