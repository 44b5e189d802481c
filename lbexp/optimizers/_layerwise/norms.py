"""The norms of all layers at once."""

import collections
import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lbexp.optimizers._layerwise.backend import has_explicit_axes, on_cpu, whole
from lbexp.optimizers._layerwise.layers import divide_or_zero, expand_like
from lbexp.optimizers._layerwise.lazy_cond import where_any
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
    shapes = _stack_shapes(arrays, ranks)
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
        inverse = divide_or_zero(1, norm)
        slopes = map(_along, arrays, _split(inverse, shapes), changes, ranks)
        return norm, add(list(slopes))

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
    arrays, ranks_of_both = [], []
    for weight, direction, rank in zip(weights, directions, ranks, strict=True):
        arrays += [weight, direction]
        ranks_of_both += [rank, rank]
    both_norms = norms(arrays, ranks_of_both, axis_name, [True, stored] * len(weights))
    weight_norms, direction_norms = both_norms[::2], both_norms[1::2]
    return list(zip(weight_norms, direction_norms, strict=True))


def _by_branch(arrays, ranks, stored, add, axis_name):
    """All norms [layers]: plain sums of squares, scaled ones in a branch that is seldom taken."""

    def sums_of_squares(parts, stored):
        return add(list(map(_squares, parts, ranks, stored)))

    squares = sums_of_squares(arrays, stored)
    low, high = 1e-290, 1e290
    if any(_real(x) == jnp.float32 for x in arrays):  # some of the sums, if not all
        low, high = 1e-24, 1e30

    def scaled(arrays):
        peak = _flat(list(map(_peak, arrays, ranks)))
        if axis_name is not None:
            peak = lax.pmax(peak, axis_name)
        peak = jnp.where((peak > 0) & jnp.isfinite(peak), peak, 1)
        peaks = _split(peak, _stack_shapes(arrays, ranks))
        fractions = list(map(_divided, arrays, peaks))
        are_stored = [False] * len(arrays)
        return peak * jnp.sqrt(sums_of_squares(fractions, are_stored))

    # A sum of exactly 0 may be underflow or a layer of zeros: the scaled pass tells them apart.
    doubtful = ~((squares >= low) & (squares <= high))
    return where_any(doubtful.any(), scaled, jnp.sqrt(squares), list(arrays))


def _in_one_pass(arrays, ranks, add):
    """All norms [layers]: of two sums of scaled squares, the one that is finite and the finer."""
    dtype = jnp.result_type(*map(_real, arrays))
    unit, high = 2.0**460, 1e307
    if dtype == jnp.float32:
        unit, high = 2.0**50, 1e37
    up, down = add(*_sums_of_two(arrays, ranks, unit, dtype))
    return jnp.where(up > high, jnp.sqrt(down) * unit, jnp.sqrt(up) / unit)


def _added(*sums, shares, axis_name):
    """Each list of sums by layer as one vector [layers], added up over devices in one
    all-reduce."""
    vectors = []
    for parts in sums:
        weighted = map(operator.mul, parts, shares)
        vectors.append(_flat(list(weighted)))
    local = vectors[0]
    if len(vectors) > 1:
        local = jnp.stack(vectors)
    if axis_name is None:
        return local
    return lax.psum(local, axis_name)


def _stack_shapes(arrays, ranks):
    """The shapes of the arrays' norms."""
    return [x.shape[:rank] for x, rank in zip(arrays, ranks, strict=True)]


def _flat(parts):
    dtype = jnp.result_type(*parts)
    vectors = []
    for part in parts:
        vectors.append(whole(part).reshape(-1).astype(dtype))
    return jnp.concatenate(vectors)


def _along(x, inverse, change, rank):
    """Sum of Re(x* change) / |x| over all but the leading `rank` axes."""
    direction = upcast(x).conj() * expand_like(inverse.astype(_real(x)), x)
    rest = tuple(range(rank, x.ndim))
    return jnp.sum((direction * change).real, axis=rest)


def _real(x):
    """The dtype of norms of `x`."""
    if x.dtype in (jnp.float64, jnp.complex128):
        return jnp.float64
    return jnp.float32


def _shares(arrays, axis_name):
    """What each device's sum counts for: less than 1 where several devices hold the same array."""
    if axis_name is None:
        return [1] * len(arrays)
    names = axis_name
    if isinstance(axis_name, str):
        names = (axis_name,)
    varying = list(map(_varying, arrays))
    if not any(varying):  # shard_map does not check, and does not know
        return [1.0] * len(arrays)
    shares = []
    for axes in varying:
        copies = 1
        for name in names:
            if name not in axes:
                copies *= lax.axis_size(name)
        shares.append(1 / copies)
    return shares


def _varying(x):
    """The mesh axes along which devices hold different values."""
    kind = jax.typeof(x)
    if hasattr(kind, 'vma'):
        return kind.vma
    return kind.manual_axis_type.varying


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
    """(sums of |unit x|^2, sums of |x / unit|^2): a sum for every layer of every array.

    Both as one complex sum: an operand that is used once XLA computes within the sum's kernel, one
    that is used twice it computes before and stores (LAMB moves 40 bytes a parameter so; 44 to 47
    with two or three real sums). Arrays of one shape are summed side by side, one kernel for some
    of them.
    """
    alike = collections.defaultdict(list)
    for i, (x, rank) in enumerate(zip(arrays, ranks, strict=True)):
        alike[x.shape, rank, _varying(x)].append(i)
    up, down = [None] * len(arrays), [None] * len(arrays)

    def scaled(x, scale):
        wide = x.astype(jnp.promote_types(x.dtype, dtype))
        return _square(wide * scale)

    for (shape, rank, _), members in alike.items():
        axes = tuple(range(rank, len(shape)))
        for start in range(0, len(members), _SUMS_PER_KERNEL):
            group = members[start : start + _SUMS_PER_KERNEL]
            terms = []
            for i in group:
                large, small = scaled(arrays[i], unit), scaled(arrays[i], 1 / unit)
                terms.append(lax.complex(large, small))
            totals = _sums_side_by_side(terms, axes)
            for i, total in zip(group, totals, strict=True):
                up[i], down[i] = total.real, total.imag
    return up, down


def _sums_side_by_side(terms, axes):
    """The sum of each of some arrays of one shape over `axes`, in one kernel."""

    def add_pairwise(a, b):
        return tuple(map(operator.add, a, b))

    zeros = tuple(jnp.zeros((), term.dtype) for term in terms)
    return lax.reduce(tuple(terms), zeros, add_pairwise, axes)


def _square(x):
    if jnp.iscomplexobj(x):
        return (x * x.conj()).real
    return jnp.square(x)


def _peak(x, rank):
    rest = tuple(range(rank, x.ndim))
    return jnp.max(jnp.abs(upcast(x)), axis=rest, initial=0)


def _divided(x, peak):
    return upcast(x) / expand_like(peak.astype(_real(x)), x)


def _split(flat, shapes):
    parts, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        parts.append(flat[start : start + size].reshape(shape))
        start += size
    return parts
