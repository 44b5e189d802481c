"""The columns of `stationary_moments`: means, variances and their errors, from what its state
holds."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lbexp import moments


def are_few(leaves: Sequence[Any], coordinates: int) -> bool:
    """Whether the coordinates of one run are reported one by one."""
    return sum(x.size for x in leaves) <= coordinates


def flat(tree: Any) -> jax.Array:
    """All coordinates as one vector."""
    return jnp.concatenate([x.reshape(-1) for x in jax.tree.leaves(tree)])


def one_run(state: Any, coordinates: int) -> dict[str, jax.Array]:
    """Of the coordinates of one run: errors by batch means."""
    leaves = jax.tree.leaves(state.weights.m2)
    one_by_one = are_few(leaves, coordinates)
    # Each entry of the series stands for so many coordinates.
    sizes = [x.size for x in leaves]
    if one_by_one:
        sizes = [1] * sum(sizes)
    share = jnp.asarray(sizes, leaves[0].dtype) / sum(sizes)
    batches = state.series.means
    pooled = {
        'mean': jnp.sum(batches['mean'] * share[None], axis=-1),
        'square': jnp.sum(batches['square'] * share[None], axis=-1),
    }
    errors = moments.standard_error(state.series, batches)
    pooled_errors = moments.standard_error(state.series, pooled)
    variances = flat(moments.variance(state.weights, 0))
    means = flat(state.weights.mean)
    # What autocorrelation takes from m2 / T: se(mean)^2.
    missing = errors['mean'] ** 2 if one_by_one else jnp.zeros_like(errors['mean'])
    complete = state.series.count // state.series.length
    # `missing` is itself an estimate, with n - 1 degrees of freedom.
    doubt = missing * jnp.sqrt(2 / jnp.maximum(complete - 1, 1)).astype(missing.dtype)
    seen = state.weights.count > 0
    columns = {
        'count': state.weights.count,
        'mean': jnp.where(seen, means.mean(), jnp.nan),
        'mean_error': pooled_errors['mean'],
        'variance': variances.mean() + missing.mean(),
        'variance_error': jnp.hypot(pooled_errors['square'], doubt.mean()),
        'stationarity_z': moments.stationarity(state.series, pooled['square'], early=(0.25, 0.5)),
    }
    if one_by_one:
        columns |= {
            'coordinate_mean': jnp.where(seen, means, jnp.nan),
            'coordinate_mean_error': errors['mean'],
            'coordinate_variance': variances + missing,
            'coordinate_variance_error': jnp.hypot(errors['square'], doubt),
        }
    return columns


def population(state: Any, coordinates: int) -> dict[str, jax.Array]:
    """Of independent replicas: errors by their spread."""

    def by_replica(tree):
        return jnp.concatenate([x.reshape(x.shape[0], -1) for x in jax.tree.leaves(tree)], axis=1)

    # [replicas, coordinates]: w_r and x_r of the docstring
    within = by_replica(moments.variance(state.weights, 0))
    means = by_replica(state.weights.mean)
    replicas = means.shape[0]
    centre = means.mean(0)
    between = jnp.sum((means - centre[None]) ** 2, axis=0) / (replicas - 1)
    # Of each replica a value whose mean is the variance: their spread is its error.
    per_replica = within + (means - centre[None]) ** 2 * (replicas / (replicas - 1))

    def error(values):
        return jnp.std(values, axis=0, ddof=1) / math.sqrt(replicas)

    square = jnp.mean(state.series.means['square'], axis=-1)
    columns = {
        'count': state.weights.count,
        'mean': jnp.where(state.weights.count > 0, centre.mean(), jnp.nan),
        'mean_error': error(means.mean(1)),
        'variance': jnp.mean(within.mean(0) + between),
        'variance_error': error(per_replica.mean(1)),
        'stationarity_z': moments.stationarity(state.series, square),
    }
    if means.shape[1] <= coordinates:
        columns |= {
            'coordinate_mean': centre,
            'coordinate_mean_error': error(means),
            'coordinate_variance': within.mean(0) + between,
            'coordinate_variance_error': error(per_replica),
        }
    return columns


def of_loss(state: Any) -> dict[str, jax.Array]:
    """Of the training loss."""
    series = {'loss': state.series.means['loss'], 'loss_square': state.series.means['loss_square']}
    errors = moments.standard_error(state.series, series)
    z = moments.stationarity(state.series, series)
    return {
        'loss_mean': jnp.where(state.loss.count > 0, state.loss.mean, jnp.nan),
        'loss_mean_error': errors['loss'],
        'loss_variance': moments.variance(state.loss, 0) + errors['loss'] ** 2,
        'loss_variance_error': errors['loss_square'],
        'loss_stationarity_z': z['loss'],
    }
