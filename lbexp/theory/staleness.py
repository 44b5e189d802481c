"""Stale gradients on the noisy quadratic: SGD, momentum and Lookahead behind asynchronous workers, exactly."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.theory.fixed_point import FixedPoint, spectral_radius
from lbexp.theory.limits import require
from lbexp.theory.process import Process, Update, product


def staleness(
    learning_rate: Any,
    curvature: Any,
    delay: int,
    momentum: Any = 0.0,
    k: Any = None,
    slow_step_size: Any = 0.5,
) -> Process:
    """The linear map of an optimizer whose gradients are taken at the weights of `delay` updates ago.

        g = a (x_{t - delay} - xi),   m <- beta m + g,   x_{t+1} = x_t - rate m

    and around it Lookahead, which after every k-th update sets s <- s + alpha (x - s), x <- s; what is read later is
    the x after that; without Lookahead s = x. The past is part of the state, z = (x_t, x_{t-1}, .., x_{t-delay}, m, s),
    so the map is linear, and `fixed_point`, `noisy_quadratic` and `autocorrelation` apply as they are. W workers that
    take turns have delay = W - 1 (after the first W - 1 updates).

    Args:
        learning_rate: rate > 0.
        curvature: a > 0.
        delay: updates between pull and push, a plain int >= 0 (it is a shape).
        momentum: beta in [0, 1), heavy ball at the server.
        k: updates per cycle of Lookahead at the server, >= 1; None: no Lookahead.
        slow_step_size: alpha in (0, 1].

    Source: delay embedding as in Levin and May 1976; asynchronous SGD: Mitliagkas et al. 2016, arXiv:1605.09774.
    """
    require('delay', delay, delay >= 0, 'a whole number of updates >= 0')
    _check(learning_rate, curvature, momentum, k, slow_step_size)
    return _embedded(learning_rate, curvature, delay, momentum, *_cycle(k, slow_step_size))


def delay_limit(curvature: Any, delay: Any) -> Any:
    """The learning rate below which SGD with gradients `delay` updates old is stable.

        rate a < 2 sin(pi / (2 (2 delay + 1)))

    x_{t+1} = x_t - h x_{t - delay} has the characteristic equation l^delay (l - 1) = -h. On the unit circle,
    l = e^{i p}, the left side is 2 i sin(p / 2) e^{i (delay + 1/2) p}; it is real and negative first where
    (delay + 1/2) p = pi / 2, at h = 2 sin(p / 2), p = pi / (2 delay + 1). delay 0 gives the usual 2, and large delays
    pi / (2 delay + 1): what staleness allows shrinks like 1 / W.

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
    """Stationary covariance of (x, m, s) where each update is by a worker drawn anew: geometric staleness.

    With probability 1 / W each, worker w pushes g = a (c_w - xi) and then pulls, c_w <- x. The state (x, m, s, c_1 ..
    c_W) moves by a random matrix A_w, so second moments obey S <- mean_w A_w S A_w' + v mean_w b_w b_w', exactly. The
    workers are exchangeable: S has the moments of (x, m, s) among themselves (6), of each with a copy (3), of a copy
    with itself and with another (2), eleven numbers whatever W, and the map on them is linear.

    Arguments as in `staleness`.

    Returns:
        covariance [3, 3] at the end of a cycle, its average over a cycle, and the spectral radius of the map of second
        moments over a cycle (stability in mean square).

    Raises:
        ValueError: not stable; with traced numbers the covariance is inf and `stable` False instead.
    """
    require('noise', noise, jnp.asarray(noise) >= 0, 'a variance >= 0')
    require('workers', workers, workers >= 1, 'a whole number >= 1')
    _check(learning_rate, curvature, momentum, k, slow_step_size)
    found = _rest(learning_rate, curvature, noise, workers, momentum, *_cycle(k, slow_step_size))
    rule = 'below 1: lower the learning rate, the momentum, or the number of workers'
    require('spectral radius of second moments', found.radius, found.stable, rule)
    return found


def _cycle(k, slow_step_size):
    """Without Lookahead the slow weights are the weights: a cycle of one update, all the way."""
    return (1, 1.0) if k is None else (k, slow_step_size)


@partial(jax.jit, static_argnames='delay')
def _embedded(learning_rate, curvature, delay, momentum, k, slow_step_size):
    size, at_m, at_s = delay + 3, delay + 1, delay + 2
    push = _push(size, at_m, delay, learning_rate, curvature, momentum)
    shift = push.matrix.at[1 : delay + 1].set(jnp.eye(size, dtype=push.matrix.dtype)[:delay])
    inner = Update(shift, push.response)
    last = _synchronised(inner, at_s, slow_step_size)
    fast = jnp.zeros(size, shift.dtype).at[0].set(1.0)
    evaluation = jnp.zeros(size, shift.dtype).at[at_s].set(1.0)
    holds = jnp.ones(size, shift.dtype).at[at_m].set(0.0)
    return Process(inner, last, jnp.asarray(k), fast, evaluation, holds, jnp.zeros((), shift.dtype))


def _push(size, at_m, at_read, learning_rate, curvature, momentum):
    """m <- beta m + a (z[at_read] - xi), x <- x - rate m; x is z[0]."""
    dtype = jnp.result_type(float, learning_rate, curvature, momentum)
    rate, a, beta = (jnp.asarray(value, dtype) for value in (learning_rate, curvature, momentum))
    m = jnp.zeros(size, dtype).at[at_read].add(a).at[at_m].add(beta)
    x = -rate * m
    matrix = jnp.eye(size, dtype=dtype).at[at_m].set(m).at[0].add(x)
    return Update(matrix, jnp.zeros(size, dtype).at[at_m].set(-a).at[0].set(rate * a))


def _synchronised(update, at_s, alpha):
    """`update`, then s <- s + alpha (x - s), x <- s."""
    size = update.response.shape[0]
    row = jnp.zeros(size, update.matrix.dtype).at[0].set(alpha).at[at_s].set(1 - jnp.asarray(alpha))
    meet = jnp.eye(size, dtype=update.matrix.dtype).at[0].set(row).at[at_s].set(row)
    return Update(product(meet, update.matrix), product(meet, update.response[:, None])[:, 0])


_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))  # moments of (x, m, s)


@partial(jax.jit, static_argnames='workers')
def _rest(learning_rate, curvature, noise, workers, momentum, k, slow_step_size):
    # By exchangeability the first worker stands for all, once moments are averaged over the permutations of copies.
    size = 3 + workers
    push = _push(size, 1, 3, learning_rate, curvature, momentum)
    pull = lambda update: Update(
        update.matrix.at[3].set(update.matrix[0]), update.response.at[3].set(update.response[0])
    )
    inner = pull(push)
    last = pull(_synchronised(push, 2, slow_step_size))

    def step(update, moments, noise):
        kick = noise * update.response[:, None] * update.response[None, :]
        return _read(product(product(update.matrix, _whole(moments, workers)), update.matrix.T) + kick)

    dtype = inner.matrix.dtype
    as_matrix = lambda update: jax.vmap(lambda unit: step(update, unit, 0.0))(jnp.eye(11, dtype=dtype)).T
    kick = lambda update: step(update, jnp.zeros(11, dtype), noise)
    one, final = as_matrix(inner), as_matrix(last)
    times = lambda matrix, vector: jnp.sum(matrix * vector[None, :], axis=1)
    compose = lambda _, carry: (product(one, carry[0]), times(one, carry[1]) + kick(inner))
    matrix, spread = jax.lax.fori_loop(0, k - 1, compose, (jnp.eye(11, dtype=dtype), jnp.zeros(11, dtype)))
    matrix, spread = product(final, matrix), times(final, spread) + kick(last)
    radius = spectral_radius(matrix)
    stable = radius < 1 - 16 * jnp.finfo(dtype).eps
    safe = jnp.where(stable, matrix, jnp.zeros_like(matrix))
    rest = jnp.linalg.solve(jnp.eye(11, dtype=dtype) - safe, spread)
    add = lambda _, carry: (carry[0] + carry[1], times(one, carry[1]) + kick(inner))
    total, _ = jax.lax.fori_loop(0, k, add, (jnp.zeros_like(rest), rest))
    seen = lambda moments: jnp.where(stable, _whole(moments, workers)[:3, :3], jnp.inf)
    return FixedPoint(seen(rest), seen(total / k), radius, stable)


def _whole(moments, workers):
    """The matrix [3 + W, 3 + W] of second moments that eleven numbers describe."""
    size = 3 + workers
    whole = jnp.zeros((size, size), moments.dtype)
    for place, (i, j) in enumerate(_PAIRS):
        whole = whole.at[i, j].set(moments[place]).at[j, i].set(moments[place])
    for i in range(3):
        whole = whole.at[i, 3:].set(moments[6 + i]).at[3:, i].set(moments[6 + i])
    among = jnp.full((workers, workers), moments[10]) + jnp.eye(workers, dtype=moments.dtype) * (
        moments[9] - moments[10]
    )
    return whole.at[3:, 3:].set(among)


def _read(whole):
    """The eleven numbers: means over the permutations of the copies."""
    workers = whole.shape[0] - 3
    among = whole[3:, 3:]
    own = jnp.trace(among) / workers
    others = (jnp.sum(among) - jnp.trace(among)) / max(workers * (workers - 1), 1)
    with_copy = [jnp.mean(whole[i, 3:]) for i in range(3)]
    return jnp.stack([*(whole[i, j] for i, j in _PAIRS), *with_copy, own, others])


def _check(learning_rate, curvature, momentum, k, slow_step_size):
    require('learning_rate', learning_rate, learning_rate > 0, 'a number > 0')
    require('curvature', curvature, curvature > 0, 'a number > 0: a flat or concave coordinate has no fixed point')
    require('momentum', momentum, (momentum >= 0) & (momentum < 1), '0 <= momentum < 1')
    if k is not None:
        require('k', k, k >= 1, 'a whole number of updates per cycle, >= 1')
        require('slow_step_size', slow_step_size, (slow_step_size > 0) & (slow_step_size <= 1), '(0, 1]')
