"""The loss along lines, in planes and on curves between networks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.curvature import trees
from lbexp.shapes import LossOfGrid, LossOfPoints, Params, RandomKey, Scalar


class Barrier(NamedTuple):
    """How far the loss rises above the line between the losses of the two ends."""

    height: Scalar  # max over the points between the ends; of a convex loss at most 0
    place: Scalar  # where, in [0, 1]


def filter_normalised(direction: Params, params: Params) -> Params:
    """The direction with the norm of the weights, filter by filter (Li et al. 2018,
    arXiv:1712.09913, section 4).

        d_f <- d_f |w_f| / |d_f|

    A filter is what feeds one output: of kernels [..., in, out], as Flax has them, all axes but the
    last. Leaves with fewer than two axes, biases and scales of norm layers, are not moved: 0.
    Slices along it are unchanged when a ReLU layer is multiplied and the next divided by a number.
    """

    def of_leaf(d, w):
        if w.ndim < 2:
            return jnp.zeros_like(d)
        axes = tuple(range(w.ndim - 1))
        length = _norms(d, axes)
        # A filter of the direction that is 0 stays 0: 0 / 0 is no number.
        return d * jnp.where(length > 0, _norms(w, axes) / jnp.where(length > 0, length, 1), 0)

    return jax.tree.map(of_leaf, direction, params)


def random_direction(key: RandomKey, params: Params) -> Params:
    """A normal direction, filter-normalised; the same of the same key, whatever the weights are."""
    return filter_normalised(trees.normal_like(key, params), params)


def line(loss: Callable, params: Params, direction: Params, points: LossOfPoints) -> LossOfPoints:
    """L(w + a d) at each a of `points`, one after another."""
    return jax.lax.map(lambda a: loss(trees.added(params, direction, a)), points)


def plane(
    loss: Callable,
    params: Params,
    first: Params,
    second: Params,
    rows: Any,
    columns: Any,
) -> LossOfGrid:
    """L(w + a first + b second) with a of `rows` and b of `columns`."""

    def of_row(a):
        return line(loss, trees.added(params, first, a), second, columns)

    return jax.lax.map(of_row, rows)


def between(first: Params, last: Params, place: Any) -> Params:
    """(1 - a) first + a last; the ends themselves, bitwise, at a = 0 and 1."""

    def of_leaf(x, y):
        # The sum rounds, also at the ends, which are taken as they are.
        mixed = (x * (1 - place) + y * place).astype(x.dtype)
        return jnp.where(place == 0, x, jnp.where(place == 1, y, mixed))

    return jax.tree.map(of_leaf, first, last)


def interpolation(
    loss: Callable, first: Params, last: Params, points: LossOfPoints
) -> LossOfPoints:
    """L((1 - a) first + a last) at each a of `points` (Goodfellow et al. 2015, arXiv:1412.6544;
    Keskar et al. 2017, figure 3: a in [-1, 2] from a small batch's network to a large one's).

    Batch-norm statistics of the ends are wrong between them: the loss has to compute them at each
    point. Networks of two seeds have their units in two orders: see `match_units`.
    """
    return jax.lax.map(lambda a: loss(between(first, last, a)), points)


def barrier(losses: LossOfPoints, points: LossOfPoints) -> Barrier:
    """max over 0 <= a <= 1 of L(a) - ((1 - a) L(0) + a L(1)) (Frankle et al. 2020,
    arXiv:1912.05671).

    Args:
        losses: at `points`, which have 0 and 1 among them.
    """
    first = losses[jnp.argmin(jnp.abs(points))]
    last = losses[jnp.argmin(jnp.abs(points - 1))]
    above = losses - (first * (1 - points) + last * points)
    # What lies beyond the ends is drawn, and is no barrier between them.
    above = jnp.where((points >= 0) & (points <= 1), above, -jnp.inf)
    place = jnp.argmax(above)
    return Barrier(above[place], points[place])


def bezier(first: Params, middle: Params, last: Params, t: Any) -> Params:
    """(1 - t)^2 first + 2 t (1 - t) middle + t^2 last (Garipov et al. 2018, arXiv:1802.10026,
    section 3.1); the ends, bitwise, at t = 0 and 1."""
    return between(between(first, middle, t), between(middle, last, t), t)


def curve(
    loss: Callable, first: Params, middle: Params, last: Params, points: LossOfPoints
) -> LossOfPoints:
    """L on the Bezier curve at each t of `points`, in [0, 1]."""
    return jax.lax.map(lambda t: loss(bezier(first, middle, last, t)), points)


def connect(
    loss: Callable,
    first: Params,
    last: Params,
    optimizer: Any,
    key: RandomKey,
    steps: int,
) -> Params:
    """The bend of a quadratic Bezier curve of low loss between two networks: it is trained on
    E L(curve(t)), t uniform, from the middle of the line (Garipov et al. 2018, equation 2).

    Args:
        optimizer: (init, update) as optax has it.
        steps: updates, a gradient each. Position is a function: update i draws from the key and i.

    Returns:
        The middle; the curve is `bezier(first, middle, last, t)`.
    """

    def loss_of_middle(middle, t):
        return loss(bezier(first, middle, last, t))

    def step(state, i):
        middle, opt_state = state
        t = jax.random.uniform(jax.random.fold_in(key, i))
        gradient = jax.grad(loss_of_middle)(middle, t)
        updates, opt_state = optimizer.update(gradient, opt_state, middle)
        return (trees.added(middle, updates), opt_state), None

    middle = between(first, last, 0.5)
    (middle, _), _ = jax.lax.scan(step, (middle, optimizer.init(middle)), jnp.arange(steps))
    return middle


def _norms(leaf, axes):
    return jnp.sqrt(jnp.sum(leaf * leaf, axis=axes, keepdims=True))
