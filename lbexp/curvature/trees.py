"""Trees of arrays as vectors: inner products, norms, random ones. No leaf is reshaped, so that one
that is split over devices stays so."""

from typing import Any

import jax
import jax.numpy as jnp

from lbexp.precision import upcast, upcast_dtype
from lbexp.shapes import Params, RandomKey, Scalar

# A GPU would multiply float32 in fewer digits.
_FULL = jax.lax.Precision.HIGHEST


def dot(a: Params, b: Params) -> Scalar:
    """Inner product over all leaves, in float32 at least."""
    parts = jax.tree.map(lambda x, y: jnp.sum(upcast(x) * upcast(y)), a, b)
    return sum(jax.tree.leaves(parts), jnp.zeros((), jnp.float32))


def norm(tree: Params) -> Scalar:
    """2-norm over all leaves."""
    return jnp.sqrt(dot(tree, tree))


def scaled(tree: Params, factor: Any) -> Params:
    """factor x tree; the factor a scalar, which may be traced."""
    return jax.tree.map(lambda leaf: (leaf * factor).astype(leaf.dtype), tree)


def added(a: Params, b: Params, factor: Any = 1.0) -> Params:
    """a + factor x b, in the dtypes of a."""
    return jax.tree.map(lambda x, y: (x + y * factor).astype(x.dtype), a, b)


def size(tree: Params) -> int:
    """How many numbers the leaves hold."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def unit(tree: Params) -> Params:
    """tree / |tree|; of zeros, zeros."""
    length = norm(tree)
    return scaled(tree, jnp.where(length > 0, 1 / jnp.where(length > 0, length, 1), 0))


def normal_like(key: RandomKey, tree: Params) -> Params:
    """Independent normal numbers: each leaf draws from its place in the tree and the key alone."""
    return _drawn(jax.random.normal, key, tree)


def signs_like(key: RandomKey, tree: Params) -> Params:
    """Independent signs -1 and 1."""
    return _drawn(jax.random.rademacher, key, tree)


def _drawn(draw, key, tree):
    leaves, structure = jax.tree.flatten(tree)
    drawn = []
    for place, leaf in enumerate(leaves):
        drawn.append(draw(jax.random.fold_in(key, place), leaf.shape, upcast_dtype(leaf)))
    return jax.tree.unflatten(structure, drawn)


def rows_times(rows: Any, vector: Any) -> jax.Array:
    """[k] inner products of k stacked trees with one."""
    products = []
    for stack, leaf in zip(jax.tree.leaves(rows), jax.tree.leaves(vector), strict=True):
        products.append(jnp.tensordot(stack, leaf, axes=leaf.ndim, precision=_FULL))
    return sum(products[1:], products[0])


def combined(rows: Any, coefficients: jax.Array) -> Any:
    """sum_k coefficients[k] rows[k]; of coefficients [k, j], j such sums stacked."""

    def of_leaf(stack):
        return jnp.tensordot(coefficients.T, stack, axes=1, precision=_FULL)

    return jax.tree.map(of_leaf, rows)
