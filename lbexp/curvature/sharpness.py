"""How much the loss rises near a point: the largest rise found, the mean rise, along a direction.

A largest rise is searched for: what is reported is the best that was found, a lower bound of the
maximum. One gradient step is no maximum: near a minimum it is radius x |gradient|.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.curvature import trees
from lbexp.curvature.operators import hessian_product
from lbexp.curvature.trace import Estimate
from lbexp.shapes import Params, RandomKey, Scalar


class Rise(NamedTuple):
    """L(w + e) - L(w) for the worst e found."""

    value: Scalar  # a lower bound of the maximum
    one_step: Scalar  # of one gradient step to the boundary: SAM's own
    gradients: int  # how many were computed


class Direction(NamedTuple):
    """Curvature along a direction u."""

    curvature: Scalar  # u^T H u / |u|^2
    residual: Scalar  # |H u / |u| - curvature u / |u||: some eigenvalue is that close


class _Set(NamedTuple):
    """Where perturbations may be, around 0: of size 1 in its norm."""

    steepest: Callable  # gradient -> the point of the set where <gradient, e> is largest
    project: Callable  # -> the nearest point of the set


def sam(
    loss: Callable,
    params: Params,
    radius: Any,
    steps: int = 20,
    starts: Sequence[Any] = (),
) -> Rise:
    """max over |e| <= radius of L(w + e) - L(w) (Foret et al. 2021, arXiv:2010.01412, equation 1),
    by projected ascent

        e <- project(e + radius g / |g|),   g = dL/dw at w + e

    from 0, whose first step is SAM's, and from +radius v and -radius v of each start v; the best
    point on the way counts. For a convex loss the value never falls on the way.

    Args:
        radius: > 0 [units of the parameters].
        steps: of each ascent, >= 1; 20 or more.
        starts: directions, trees like the parameters: the top eigenvector of the Hessian, say.

    Cost: (1 + 2 len(starts)) steps gradients and as many losses.
    """
    around = _Objective(loss, params, jax.tree.map(lambda leaf: radius, params))
    return around.largest(_Set(trees.unit, _into_ball), steps, starts)


def adaptive(
    loss: Callable, params: Params, radius: Any, steps: int = 20, starts: Sequence[Any] = ()
) -> Rise:
    """max over |e / |w|| <= radius of L(w + e) - L(w): ASAM's with T = diag |w| (Kwon et al. 2021,
    arXiv:2102.11600, equation 3), by the ascent of `sam` in e / |w|.

    It is unchanged when a ReLU layer is multiplied and the next one divided by a number, as the
    function is. Parameters that are 0 are not moved.

    Args:
        starts: directions in e / |w|: eigenvectors of |w| H |w|.
    """
    scale = jax.tree.map(lambda leaf: jnp.abs(leaf) * radius, params)
    return _Objective(loss, params, scale).largest(_Set(trees.unit, _into_ball), steps, starts)


def keskar(
    loss: Callable, params: Params, size: Any = 1e-3, steps: int = 20, starts: Sequence[Any] = ()
) -> Rise:
    """Keskar's sharpness (Keskar et al. 2017, arXiv:1609.04836, metric 2.1, A = 1) [percent]:

        phi = 100 max over |e_i| <= size (|w_i| + 1) of (L(w + e) - L(w)) / (1 + L(w))

    by ascent to corners of the box: e <- clip(e + bounds sign g). The paper takes ten iterations of
    L-BFGS-B. It changes with the scale of the weights where the function does not (Dinh et al.
    2017, arXiv:1703.04933): never compare networks by it that were scaled apart.

    Args:
        size: > 0; the paper has 1e-3 and 5e-4.
        starts: directions e / (|w| + 1).
    """
    scale = jax.tree.map(lambda leaf: (jnp.abs(leaf) + 1) * size, params)
    rise = _Objective(loss, params, scale).largest(_Set(_signs, _into_box), steps, starts)
    share = 100 / (1 + loss(params))
    return Rise(rise.value * share, rise.one_step * share, rise.gradients)


def average(
    loss: Callable, params: Params, deviation: Any, key: RandomKey, pairs: int = 16
) -> Estimate:
    """E L(w + deviation u) - L(w), u standard normal, over pairs of u and -u.

        = deviation^2 / 2 tr H + O(deviation^4)

    Pairs take out what is odd in u: without them small deviations show rounding and gradient alone.

    Args:
        deviation: > 0 [units of the parameters].
        pairs: >= 2; the cost is 2 losses each.

    Returns:
        Mean rise and its standard error over pairs; `products` counts the losses.
    """
    if pairs < 2:
        raise ValueError(f'pairs: found {pairs}; allowed: an integer >= 2')
    start = loss(params)

    def rise(key):
        drawn = trees.normal_like(key, params)
        up = loss(trees.added(params, drawn, deviation))
        down = loss(trees.added(params, drawn, -deviation))
        return ((up - start) + (down - start)) / 2

    values = jax.lax.map(rise, jax.random.split(key, pairs))
    error = values.std(ddof=1) * (1 / jnp.sqrt(pairs))
    return Estimate(values.mean(), error, 2 * pairs + 1)


def directional(loss: Callable, params: Params, direction: Params) -> Direction:
    """Curvature along a direction: an update, the gradient, the way to another network (Pan, Li
    2023, arXiv:2306.00204). One Hessian product; exact but for rounding.

    NaN along a direction of length 0.
    """
    length = trees.norm(direction)
    along = trees.scaled(direction, 1 / length)
    image = hessian_product(loss, params)(along)
    curvature = trees.dot(along, image)
    return Direction(curvature, trees.norm(trees.added(image, along, -curvature)))


class _Objective(NamedTuple):
    """L(w + scale e) - L(w) as a function of e."""

    loss: Callable
    params: Any
    scale: Any

    def rise(self, e):
        change = jax.tree.map(jnp.multiply, self.scale, e)
        moved = trees.added(self.params, change)
        return self.loss(moved)

    def largest(self, allowed: _Set, steps: int, starts: Sequence[Any]) -> Rise:
        if steps < 1:
            raise ValueError(f'steps: found {steps}; allowed: an integer >= 1')
        here = self.loss(self.params)
        nothing = trees.scaled(self.params, 0.0)
        bests, one_step = self._ascent(nothing, allowed, steps)
        for start in starts:
            edge = allowed.steepest(start)
            for sign in (1.0, -1.0):
                best, _ = self._ascent(trees.scaled(edge, sign), allowed, steps)
                bests = jnp.maximum(bests, best)
        return Rise(bests - here, one_step - here, (1 + 2 * len(starts)) * (steps + 1))

    def _ascent(self, start, allowed, steps):
        """(largest loss on the way, that after the first step)."""
        value_and_gradient = jax.value_and_grad(self.rise)

        def step(e, _):
            value, gradient = value_and_gradient(e)
            moved = jax.tree.map(jnp.add, e, allowed.steepest(gradient))
            return allowed.project(moved), value

        last, values = jax.lax.scan(step, start, None, steps)
        values = jnp.append(values, self.rise(last))
        # A point where the loss is not finite is no maximum that anything can be said of.
        return jnp.where(jnp.isfinite(values), values, -jnp.inf).max(), values[1]


def _into_ball(e):
    return trees.scaled(e, 1 / jnp.maximum(1, trees.norm(e)))


def _signs(gradient):
    return jax.tree.map(jnp.sign, gradient)


def _into_box(e):
    return jax.tree.map(lambda leaf: jnp.clip(leaf, -1, 1), e)
