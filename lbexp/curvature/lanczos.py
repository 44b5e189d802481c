"""Extreme eigenvalues of a symmetric product, by Lanczos with full reorthogonalisation.

Without it an eigenvalue that has converged comes again and again: of no such run may eigenvalues
be counted.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.curvature import trees
from lbexp.precision import upcast_dtype
from lbexp.shapes import Params, RandomKey, SquareOfSteps, Steps


class Tridiagonal(NamedTuple):
    """A Q = Q T + beta_m q_{m+1} e_m^T after m products."""

    diagonal: Steps  # alpha_1 .. alpha_m
    off_diagonal: Steps  # beta_1 .. beta_m; the last is the norm of what is left over
    basis: Any  # Q^T: a tree like the vectors whose leaves have one more axis, the first, m long


class Ritz(NamedTuple):
    """Eigenvalues of T, ascending: what the products say of the matrix's."""

    values: Steps  # theta_i
    residuals: Steps  # |A x_i - theta_i x_i|: some eigenvalue is that close to theta_i
    weights: Steps  # squared first components s_1i^2; they add up to 1
    coefficients: SquareOfSteps  # eigenvectors of T in columns


class Extremes(NamedTuple):
    """The eigenvalues at both ends."""

    top: jax.Array  # [k], the largest first
    top_residuals: jax.Array  # [k]
    bottom: jax.Array  # the smallest
    bottom_residual: jax.Array
    vectors: Any  # Ritz vectors of `top`, unit: leaves [k, ...]
    products: int  # how many were computed


def tridiagonal(
    product: Callable, like: Params, key: RandomKey, steps: int, reorthogonalise: int = 2
) -> Tridiagonal:
    """m steps of Lanczos (Lanczos 1950; Paige 1972) from a random vector, a function of the key.

        beta_j q_{j+1} = A q_j - alpha_j q_j - beta_{j-1} q_{j-1}

    Each new vector is made orthogonal to all before it, twice ("twice is enough", Parlett 1980,
    section 6.9). Where nothing is left of it (beta_j below rounding: an invariant subspace), it is
    not divided by beta: beta_j is 0 and another random vector, orthogonal to all before, takes its
    place, so that an eigenvalue is found as often as it occurs. The length of the loop is fixed:
    it may be compiled, mapped and vmapped.

    Args:
        product: v -> A v, symmetric.
        like: a tree of the vectors' shapes; its values do not matter.
        steps: m >= 1; at most the size of `like`, which it is cut to.
        reorthogonalise: times; 2. Fewer are for showing what goes wrong.

    Cost: m products, and m x n numbers of memory, in leaves that are split as `like` is.
    """
    steps = min(steps, trees.size(like))
    first = trees.unit(trees.normal_like(key, like))
    dtype = jnp.result_type(*map(upcast_dtype, jax.tree.leaves(like)))
    zeros = jnp.zeros(steps, dtype)
    basis = jax.tree.map(lambda leaf: jnp.zeros((steps, *leaf.shape), leaf.dtype), first)
    basis = _with_row(basis, 0, first)

    def step(j, state):
        alphas, betas, basis, q, previous, beta, size = state
        image = jax.tree.map(lambda leaf, v: v.astype(leaf.dtype), q, product(q))
        alpha = trees.dot(q, image)
        left = trees.added(trees.added(image, q, -alpha), previous, -beta)
        left = _without(left, basis, reorthogonalise)
        beta = trees.norm(left)
        # Of the largest numbers in T so far: what rounding leaves of a vector that is none.
        size = jnp.maximum(size, jnp.abs(alpha) + beta)
        is_exhausted = beta <= 10 * jnp.finfo(dtype).eps * size
        fresh = functools.partial(_fresh, jax.random.fold_in(key, j + 1))
        following = jax.lax.cond(is_exhausted, fresh, _next, left, basis)
        # The last is one too many, and left out.
        basis = _with_row(basis, j + 1, following)
        beta = jnp.where(is_exhausted, 0, beta)
        alphas, betas = alphas.at[j].set(alpha), betas.at[j].set(beta)
        return alphas, betas, basis, following, q, beta, size

    nothing = trees.scaled(first, 0.0)
    start = zeros, zeros, basis, first, nothing, zeros[0], zeros[0]
    alphas, betas, basis, *_ = jax.lax.fori_loop(0, steps, step, start)
    return Tridiagonal(alphas, betas, basis)


def _with_row(basis, place, vector):
    """The basis with a vector that was computed from all of it: XLA then knows that nobody reads it
    any more, and writes in place. It would copy it otherwise, for each reader."""
    return jax.tree.map(lambda rows, row: rows.at[place].set(row, mode='drop'), basis, vector)


def _without(vector, basis, times):
    """What is left of a vector without its part in the basis."""
    for _ in range(times):
        projected = trees.combined(basis, trees.rows_times(basis, vector))
        vector = trees.added(vector, projected, -1.0)
    return vector


def _next(left, basis):
    del basis
    return trees.unit(left)


def _fresh(key, like, basis):
    """A random unit vector, orthogonal to the basis."""
    drawn = trees.unit(trees.normal_like(key, like))
    return trees.unit(_without(drawn, basis, 3))


def ritz(tridiagonal: Tridiagonal) -> Ritz:
    """Eigenvalues of T, each with the bound of its error (Parlett 1980, theorem 13.2.1):

        |theta_i - lambda| <= beta_m |s_mi|   for some eigenvalue lambda

    and never below the rounding of T, eps max |theta|: a bound of 0 would be more than is known.
    The bound is for the matrix that was multiplied with; that a subset of the examples has another
    one comes on top, and its largest eigenvalue is too large on average.
    """
    alphas, betas = tridiagonal.diagonal, tridiagonal.off_diagonal
    between = betas[:-1]
    matrix = jnp.diag(alphas) + jnp.diag(between, 1) + jnp.diag(between, -1)
    values, vectors = jnp.linalg.eigh(matrix)
    rounding = jnp.finfo(values.dtype).eps * jnp.abs(values).max()
    residuals = jnp.maximum(betas[-1] * jnp.abs(vectors[-1]), rounding)
    return Ritz(values, residuals, vectors[0] ** 2, vectors)


def extremes(product: Callable, like: Params, key: RandomKey, steps: int, count: int) -> Extremes:
    """The `count` largest eigenvalues and the smallest, of `steps` products.

    An eigenvalue has converged where its residual is a small share of it; take more steps where
    not. 20 steps serve a network's first few outliers, the smallest takes more.

    Raises:
        ValueError: more eigenvalues than steps or parameters.
    """
    limit = min(steps, trees.size(like))
    if not 1 <= count <= limit:
        raise ValueError(f'count: found {count}; allowed: 1 .. {limit}, the number of products')
    decomposed = tridiagonal(product, like, key, steps)
    pairs = ritz(decomposed)
    places = jnp.arange(limit - 1, limit - 1 - count, -1)
    vectors = trees.combined(decomposed.basis, pairs.coefficients[:, places])
    return Extremes(
        pairs.values[places],
        pairs.residuals[places],
        pairs.values[0],
        pairs.residuals[0],
        vectors,
        limit,
    )
