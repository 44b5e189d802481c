"""The covariance of gradients, from the gradients of K groups, and what it has to do with the
Hessian."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from scipy import special

from lbexp.curvature import trees
from lbexp.curvature.fieller import Ratio, fieller
from lbexp.shapes import GramOfGroups, Params, Scalar

_CONFIDENCE = 0.95


class Covariance(NamedTuple):
    """Sigma, the covariance of the gradient of one example, through that of groups."""

    trace: Scalar  # tr Sigma, unbiased
    trace_error: Scalar  # standard error
    values: jax.Array  # [k] largest eigenvalues of the sample covariance: biased up
    held_out: jax.Array  # [k] variance along such directions of groups that did not choose them
    held_out_error: jax.Array  # [k] standard errors


class Overlap(NamedTuple):
    """A share of the gradient noise."""

    value: Scalar  # tr(P Sigma) / tr Sigma, in [0, 1]
    standard_error: Scalar  # over groups


class NoiseScale(NamedTuple):
    """tr(H Sigma), G^T H G, and their ratio; of B_simple H = 1. Errors are the jackknife's over
    groups: where noise hides the gradient up to sqrt(2) too large."""

    ratio: Ratio  # [examples]
    numerator: Scalar  # tr(H Sigma), unbiased
    numerator_error: Scalar  # standard error
    denominator: Scalar  # G^T H G, unbiased: it may be negative
    denominator_error: Scalar  # standard error


def group_gradients(losses: Callable, params: Params, examples: Any, groups: int) -> Any:
    """Gradients of the mean loss of each of K groups of equal size: leaves [K, ...]. Neighbours in
    the examples' order are a group; examples that fill none are left out.

    Cost: one gradient, one group after another; K n numbers of memory.

    Args:
        losses: (params, examples) -> [n].
        groups: K >= 2; a group has n // K examples.

    Raises:
        ValueError: fewer than two groups, or more than there are examples.
    """
    count = jax.tree.leaves(examples)[0].shape[0]
    if not 2 <= groups <= count:
        raise ValueError(f'groups: found {groups}; allowed: 2 .. {count}, the examples')
    size = count // groups

    def stacked(values):
        return values[: groups * size].reshape(groups, size, *values.shape[1:])

    def mean_loss(weights, part):
        return losses(weights, part).mean()

    gradient = functools.partial(jax.grad(mean_loss), params)
    return jax.lax.map(gradient, jax.tree.map(stacked, examples))


def gram(gradients: Any) -> GramOfGroups:
    """[K, K] inner products of stacked gradients; its non-zero eigenvalues are those of their
    second moment."""
    return jax.lax.map(functools.partial(trees.rows_times, gradients), gradients)


def covariance(products: GramOfGroups, size: int, count: int) -> Covariance:
    """The largest eigenvalues of Sigma by the Gram trick: the eigenvalues of the [K, K] matrix
    (g_i - g) . (g_j - g) / (K - 1) are those of the sample covariance of group means, Sigma / size.

    The sample's largest eigenvalue is too large: by about tr Sigma / K where the rest is a bulk
    (Marchenko and Pastur 1967), and because it was chosen as the largest. `held_out` errs to the
    other side: directions are the eigenvectors of one half of the groups, the variance along them
    is that of the other half, and the halves change places. In the mean it is the variance along
    those directions, which is at most the largest eigenvalue. So the truth lies between the two;
    where they are far apart there are too few groups to tell.

    Args:
        products: `gram` of K group gradients, K >= 4.
        size: examples of a group.
        count: eigenvalues, <= K // 2 - 1.

    Raises:
        ValueError: too few groups.
    """
    groups = len(products)
    half = groups // 2
    if groups < 4 or not 1 <= count <= half - 1:
        raise ValueError(
            f'groups: found {groups} for {count} eigenvalues; allowed: {max(4, 2 * count + 2)} or '
            'more groups'
        )
    centred = _centred(products, groups) * (size / (groups - 1))
    values = jnp.linalg.eigvalsh(centred)[::-1][:count]
    # Each group's part of the trace, whose sum it is.
    trace_error = jnp.diag(centred).std(ddof=1) * jnp.sqrt(groups)
    former, latter = slice(None, half), slice(half, None)
    first = _held_out(products, former, latter, count)
    second = _held_out(products, latter, former, count)
    held_out = size * (first + second) / 2
    # A variance of K / 2 normal numbers, twice; the halves share no noise but their directions do.
    error = held_out * jnp.sqrt(2 / (half - 1))
    return Covariance(jnp.trace(centred), trace_error, values, held_out, error)


def overlap(gradients: Any, vectors: Any) -> Overlap:
    """Share of the gradient noise in a space: tr(P Sigma) / tr Sigma, P = sum_k v_k v_k^T.

    Of a random space of k directions it is k / n; of the top eigenvectors of the Hessian far more,
    where noise is said to follow curvature.

    Args:
        gradients: of K groups, leaves [K, ...], not those that the space was chosen by.
        vectors: orthonormal, leaves [k, ...]: `lanczos.extremes(...).vectors`.
    """
    centred = _without_mean(gradients)
    inside = jax.lax.map(functools.partial(trees.rows_times, vectors), centred)
    of_groups = jnp.sum(inside**2, axis=1)
    all_of_groups = jax.lax.map(lambda row: trees.dot(row, row), centred)
    mean = all_of_groups.mean()
    value = of_groups.mean() / mean
    # By the delta method: the ratio's influence of each group.
    influence = (of_groups - value * all_of_groups) / mean
    return Overlap(value, influence.std(ddof=1) * (1 / jnp.sqrt(len(influence))))


def noise_scale(products: GramOfGroups, size: int, population: int | None = None) -> NoiseScale:
    """B_simple = tr Sigma / |G|^2 [examples] (McCandlish et al. 2018, arXiv:1812.06162, equation
    2.9): the batch size at which noise and gradient are of one size. `hessian_noise_scale` with
    H = 1, of the inner products that `covariance` takes.

    Args:
        products: `gram` of K >= 3 group gradients.
        size, population: as in `hessian_noise_scale`.
    """
    return _noise_scale(products, size, population)


def hessian_noise_scale(
    product: Callable, gradients: Any, size: int, population: int | None = None
) -> NoiseScale:
    """B_noise = tr(H Sigma) / (G^T H G) [examples] (McCandlish et al. 2018, arXiv:1812.06162,
    equation 2.7), with M_ij = g_i^T H g_j of K group gradients:

        G^T H G     = mean of M_ij, i != j        independent groups, so no noise is added
        tr(H Sigma) = size (mean of M_ii - mean of M_ij)

    the first being the mean over all splits into two independent halves of g_A^T H g_B; with one
    gradient for both sides it would be too large by tr(H Sigma) / M. The interval is Fieller's
    with the jackknife's variances over groups, Student's t with K - 1 degrees. Near convergence G
    vanishes and the ratio means nothing: it is then not resolved, and never a number alone.

    Of N examples without replacement, groups are not independent: M_ij, i != j, has the mean
    G^T H G - tr(H Sigma) / N, G being the gradient over all N and Sigma their covariance with
    divisor N - 1. Where the weights were fitted to these N it is most of M_ij. `population` adds
    it again. The interval does not count that the sample may be much of the population: it is then
    wider than it need be.

    Args:
        product: v -> H v.
        gradients: of K >= 3 groups, leaves [K, ...].
        size: examples of a group.
        population: N, the examples that those of the groups were drawn from without replacement;
            None: independent draws.

    Cost: K products.
    """
    images = jax.lax.map(product, gradients)
    matrix = jax.lax.map(functools.partial(trees.rows_times, gradients), images)
    return _noise_scale(matrix, size, population)


def _noise_scale(matrix, size, population):
    """The ratio of M_ij = g_i^T H g_j."""
    groups = len(matrix)
    if groups < 3:
        raise ValueError(f'groups: found {groups}; allowed: 3 or more')
    share = 0.0
    if population is not None:
        share = size / population
    squares, sums, whole = jnp.diag(matrix), matrix.sum(axis=1), matrix.sum()
    numerator, denominator = _unbiased(squares.sum(), whole, groups, share)
    # Without group i, of a symmetric matrix.
    left = whole - 2 * sums + squares
    numerators, denominators = _unbiased(squares.sum() - squares, left, groups - 1, share)
    deviations = jnp.stack([numerators - numerators.mean(), denominators - denominators.mean()])
    spread = deviations @ deviations.T * ((groups - 1) / groups)
    quantile = special.stdtrit(groups - 1, (1 + _CONFIDENCE) / 2)
    per_group = fieller(
        numerator, denominator, (spread[0, 0], spread[1, 1]), spread[0, 1], quantile
    )
    ratio = Ratio(
        per_group.value * size, per_group.low * size, per_group.high * size, per_group.resolved
    )
    errors = jnp.sqrt(jnp.diag(spread))
    return NoiseScale(ratio, numerator * size, errors[0] * size, denominator, errors[1])


def _unbiased(squares, whole, groups, share):
    """(trace with the covariance of group means, form of the mean) of sums of M."""
    between = (whole - squares) / (groups * (groups - 1))
    trace = squares / groups - between
    return trace, between + share * trace


def _without_mean(rows):
    return jax.tree.map(lambda leaf: leaf - leaf.mean(axis=0, keepdims=True), rows)


def _centred(products, groups):
    """Inner products of what is left without the mean."""
    of_rows = products.mean(axis=1, keepdims=True)
    return products - of_rows - of_rows.T + products.mean()


def _held_out(products, chosen, judged, count):
    """Variance of the judged groups along the eigenvectors of the chosen ones, by inner products
    alone."""
    inner = products[chosen, chosen]
    values, vectors = jnp.linalg.eigh(_centred(inner, len(inner)))
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    # Inner products of judged groups with the unit direction sum_i c_i (g_i - g) / sqrt(value).
    across = products[judged, chosen]
    along = (across - across.mean(axis=1, keepdims=True)) @ vectors
    return along.var(axis=0, ddof=1) / jnp.maximum(values, jnp.finfo(values.dtype).tiny)
