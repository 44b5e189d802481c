"""Stale gradients on the noisy quadratic: SGD, momentum and Lookahead behind asynchronous workers,
exactly."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.theory.exchangeable import SQUARES, as_matrix, on_moments
from lbexp.theory.fixed_point import STABILITY_RULE, FixedPoint, radius_and_gap
from lbexp.theory.limits import require, require_optimizer
from lbexp.theory.linear_maps import around, rest_of_vector
from lbexp.theory.process import Process, Update


def staleness(
    learning_rate: Any,
    curvature: Any,
    delay: int,
    momentum: Any = 0.0,
    k: Any = None,
    slow_step_size: Any = 0.5,
) -> Process:
    """The linear map of an optimizer whose gradients are taken at the weights of `delay` updates
    ago.

        g = a (x_{t - delay} - xi),   m <- beta m + g,   x_{t+1} = x_t - rate m

    and around it Lookahead, which after every k-th update sets s <- s + alpha (x - s), x <- s; what
    is read later is the x after that; without Lookahead s = x. The past is part of the state, z =
    (x_t, x_{t-1}, .., x_{t-delay}, m, s), so the map is linear, and `fixed_point`,
    `noisy_quadratic` and `autocorrelation` apply as they are. W workers that take turns have delay
    = W - 1 (after the first W - 1 updates).

    Args:
        learning_rate: rate > 0.
        curvature: a > 0.
        delay: updates between pull and push, a plain int >= 0 (it is a shape).
        momentum: beta in [0, 1), heavy ball at the server.
        k: updates per cycle of Lookahead at the server, >= 1; None: no Lookahead.
        slow_step_size: alpha in (0, 1].

    Source: delay embedding as in Levin and May 1976; asynchronous SGD: Mitliagkas et al. 2016,
        arXiv:1605.09774.
    """
    require('delay', delay, delay >= 0, 'an integer (updates) >= 0')
    require_optimizer(learning_rate, curvature, momentum, k, slow_step_size)
    friction = 1 - momentum  # of a Python number in float64
    return _embedded(learning_rate, curvature, delay, friction, *_cycle(k, slow_step_size))


def delay_limit(curvature: Any, delay: Any) -> Any:
    """The learning rate below which SGD with gradients `delay` updates old is stable.

        rate a < 2 sin(pi / (2 (2 delay + 1)))

    x_{t+1} = x_t - h x_{t - delay} has the characteristic equation l^delay (l - 1) = -h. On the
    unit circle, l = e^{i p}, the left side is 2 i sin(p / 2) e^{i (delay + 1/2) p}; it is real and
    negative first where (delay + 1/2) p = pi / 2, at h = 2 sin(p / 2), p = pi / (2 delay + 1).
    delay 0 gives the usual 2, and large delays pi / (2 delay + 1): what staleness allows shrinks
    like 1 / W.

    Args:
        curvature: a > 0.
        delay: >= 0.

    Source: Levin and May 1976, Theoretical Population Biology 9.
    """
    delay = jnp.asarray(delay)
    require('delay', delay, delay >= 0, 'a number of updates >= 0')
    return 2 * jnp.sin(jnp.pi / (2 * (2 * delay + 1))) / curvature


def memoryless(
    learning_rate: Any,
    curvature: Any,
    noise: Any,
    workers: int,
    momentum: Any = 0.0,
    k: Any = None,
    slow_step_size: Any = 0.5,
) -> FixedPoint:
    """Stationary covariance of (x, m, s) where each update is by a worker drawn anew: geometric
    staleness.

    With probability 1 / W each, worker w pushes g = a (c_w - xi) and then pulls, c_w <- x. The
    state (x, m, s, c_1 .. c_W) moves by a random matrix A_w, so second moments obey S <- mean_w A_w
    S A_w' + v mean_w b_w b_w', exactly. The workers are exchangeable: S has the moments of (x, m,
    s) among themselves (6), of each with a copy (3), of a copy with itself and with another (2),
    eleven numbers whatever W, and the map on them is linear.

    Arguments as in `staleness`.

    Returns:
        covariance [3, 3] at the end of a cycle, its average over a cycle, and the spectral radius
        of the map of second moments over a cycle (stability in mean square).

    Raises:
        ValueError: not stable; with traced numbers the covariance is inf and `stable` False
            instead.
    """
    require('noise', noise, jnp.asarray(noise) >= 0, 'a variance >= 0')
    require('workers', workers, workers >= 1, 'an integer >= 1')
    require_optimizer(learning_rate, curvature, momentum, k, slow_step_size)
    friction = 1 - momentum  # of a Python number in float64
    cycle = _cycle(k, slow_step_size)
    rest = _rest(learning_rate, curvature, noise, workers, friction, *cycle)
    rule = f'{STABILITY_RULE}: lower the learning rate, the momentum, or the number of workers'
    require('spectral radius of second moments', rest.radius, rest.stable, rule)
    return rest


def _cycle(k, slow_step_size):
    """Without Lookahead the slow weights are the weights: a cycle of one update, all the way."""
    if k is None:
        return 1, 1.0
    return k, slow_step_size


@partial(jax.jit, static_argnames='delay')
def _embedded(learning_rate, curvature, delay, friction, k, slow_step_size):
    """The process (x_t - s, x_{t-1} - s, .., x_{t-delay} - s, rate m, s)."""
    size, at_m, at_s = delay + 3, delay + 1, delay + 2
    h = learning_rate * curvature
    push = _push(size, at_m, at_s, delay, h, friction)
    dtype = push.change.dtype
    # x_{t-j} becomes x_{t-j+1}.
    identity = jnp.eye(size, dtype=dtype)
    shift = identity[:delay] - identity[1 : delay + 1]
    inner = Update(push.change.at[1 : delay + 1].set(shift), push.noise_gain)
    others = range(1, delay + 1)

    def unit(place):
        return jnp.zeros(size, dtype).at[place].set(1.0)

    of_weights = unit(jnp.arange(delay + 1))
    units = jnp.ones(size, dtype)
    return Process(
        inner=inner,
        last=_synchronised(inner, at_s, others, slow_step_size),
        k=jnp.asarray(k),
        fast=unit(0),
        evaluation=unit(at_s),
        initial_mask=1 - unit(at_m),
        averaging=jnp.ones((), dtype),
        step=jnp.asarray(h, dtype),
        units=units.at[at_m].set(1 / jnp.asarray(learning_rate, dtype)),
        offset=of_weights,
        base=unit(at_s),
    )


def _push(size, at_m, at_s, at_read, step, friction):
    """rate m <- beta rate m + h (s + w[at_read] - xi), then w[0], which is x - s, by -rate m."""
    dtype = jnp.result_type(float, step, friction)
    h = jnp.asarray(step, dtype)
    friction = jnp.asarray(friction, dtype)
    nothing = jnp.zeros(size, dtype)
    row_of_m = nothing.at[at_read].add(h)
    row_of_m = row_of_m.at[at_s].add(h)
    row_of_m = row_of_m.at[at_m].add(-friction)
    # The entry is -beta, from a friction with all its digits: 1 - (1 - beta) rounds as beta itself
    # does.
    row_of_x = -row_of_m.at[at_m].add(1.0)
    change = jnp.zeros((size, size), dtype)
    change = change.at[at_m].set(row_of_m)
    change = change.at[0].set(row_of_x)
    noise_gain = nothing.at[at_m].set(-1.0)
    return Update(change, noise_gain.at[0].set(1.0))


def _synchronised(update, at_s, others, alpha):
    """`update`, then s <- s + alpha (x - s), x <- s; the other weights stay, so what they are apart
    from s does not."""
    size = update.noise_gain.shape[0]
    alpha = jnp.asarray(alpha, update.change.dtype)
    meet = jnp.zeros((size, size), alpha.dtype)
    meet = meet.at[at_s, 0].set(alpha)
    meet = meet.at[0, 0].set(-1.0)
    for place in others:
        meet = meet.at[place, 0].set(-alpha)
    return update.then(meet)


def _push_and_pull(workers, step, friction, slow_step_size):
    """(update, last update of a cycle) of (x - s, rate m, s, c_w - s).

    By exchangeability the first worker stands for all, once moments are averaged over the
    permutations of copies.
    """
    size = 3 + workers
    push = _push(size, 1, 2, 3, step, friction)
    # c_1 - s <- x - s
    pull = jnp.zeros((size, size), push.change.dtype)
    pull = pull.at[3, 3].set(-1.0)
    pull = pull.at[3, 0].set(1.0)
    inner = push.then(pull)
    last = _synchronised(push, 2, range(3, size), slow_step_size).then(pull)
    return inner, last


@partial(jax.jit, static_argnames='workers')
def _rest(learning_rate, curvature, noise, workers, friction, k, slow_step_size):
    """Second moments of (x - s, rate m, s, c_w - s) over v h^2."""
    h = learning_rate * curvature
    inner, last = _push_and_pull(workers, h, friction, slow_step_size)
    update = on_moments(inner, workers)
    last_update = on_moments(last, workers)

    def further(_, cycle):
        return update.after(*cycle)

    nothing = (jnp.zeros_like(update.change), jnp.zeros_like(update.push))
    start = jax.lax.fori_loop(0, k - 1, further, nothing)
    change, spread = last_update.after(*start)
    rest = rest_of_vector(change, spread, SQUARES)
    value = jnp.where(rest.settled, rest.value, 0.0)

    def add(_, carry):
        total, moments = carry
        return total + moments, update.applied(moments)

    total, _ = jax.lax.fori_loop(0, k, add, (jnp.zeros_like(value), value))
    dtype = inner.change.dtype
    # From (x - s, rate m, s) in units of h to (x, m, s).
    sums = [
        [1, 0, 1],
        [0, 1, 0],
        [0, 0, 1],
    ]
    back = jnp.asarray(sums, dtype) * jnp.asarray([[h], [curvature], [h]], dtype)

    def covariance_of_server(moments):
        server = around(back, as_matrix(moments, workers)[:3, :3])
        return jnp.where(rest.settled, noise * server, jnp.inf)

    radius, gap = radius_and_gap(rest, change)
    return FixedPoint(
        covariance=covariance_of_server(value),
        average=covariance_of_server(total * (1 / k)),
        radius=radius,
        stable=rest.settled,
        gap=gap,
    )
