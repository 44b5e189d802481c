"""Second moments of a server and exchangeable workers: eleven numbers, however many workers there
are."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.shapes import Eleven, ElevenByEleven, Matrix, WithWorkers
from lbexp.theory.linear_maps import compose, covariance_change, moved, outer
from lbexp.theory.process import Update

_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))  # moments of (x - s, rate m, s)
SQUARES = np.isin(np.arange(11), (0, 3, 5, 9))


class MomentsUpdate(NamedTuple):
    """y <- y + change y + push on the eleven numbers."""

    change: ElevenByEleven
    push: Eleven

    def applied(self, moments: Eleven) -> Eleven:
        return moved(self.change, moments) + self.push

    def after(self, change: ElevenByEleven, push: Eleven) -> tuple[ElevenByEleven, Eleven]:
        """The change and the push of an earlier map and then this one."""
        return compose(self.change, change), self.applied(push)


def on_moments(update: Update, workers: int) -> MomentsUpdate:
    """What an update does to the eleven numbers: what becomes of each unit vector, and of 0."""

    def column(unit):
        change = covariance_change(update.change, as_matrix(unit, workers))
        return from_matrix(change)

    units = jnp.eye(11, dtype=update.change.dtype)
    change = jax.vmap(column)(units).T
    if workers == 1:  # there is no second copy: its moment is 0, not what it was
        change = change.at[10, 10].set(-1.0)
    return MomentsUpdate(change, from_matrix(outer(update.noise_gain)))


def as_matrix(moments: Eleven, workers: int) -> WithWorkers:
    """The matrix [3 + W, 3 + W] of second moments that eleven numbers describe."""
    size = 3 + workers
    # 0 .. 5: _PAIRS; 6 .. 8: each of the three with a copy; 9: a copy with itself; 10: two copies.
    covariance = jnp.zeros((size, size), moments.dtype)
    for place, (i, j) in enumerate(_PAIRS):
        covariance = covariance.at[i, j].set(moments[place])
        covariance = covariance.at[j, i].set(moments[place])
    for i in range(3):
        covariance = covariance.at[i, 3:].set(moments[6 + i])
        covariance = covariance.at[3:, i].set(moments[6 + i])
    among = jnp.full((workers, workers), moments[10])
    diagonal = jnp.eye(workers, dtype=bool)
    return covariance.at[3:, 3:].set(jnp.where(diagonal, moments[9], among))


def from_matrix(covariance: Matrix) -> Eleven:
    """The eleven numbers of a matrix: means over the permutations of the copies."""
    workers = covariance.shape[0] - 3
    among, same = covariance[3:, 3:], jnp.eye(workers, dtype=bool)
    pair_count = max(workers * (workers - 1), 1)
    squares = jnp.trace(among) / workers
    products = jnp.sum(jnp.where(same, 0.0, among)) / pair_count
    with_copy = [jnp.mean(covariance[i, 3:]) for i in range(3)]
    of_server = [covariance[i, j] for i, j in _PAIRS]
    return jnp.stack([*of_server, *with_copy, squares, products])
