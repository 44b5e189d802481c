"""Local SGD on the noisy quadratic: the mean of the workers and their distance from it, as linear
maps."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.theory.fixed_point import fixed_point
from lbexp.theory.limits import require
from lbexp.theory.lookahead import proposition_2
from lbexp.theory.noisy_quadratic import State, noisy_quadratic
from lbexp.theory.process import Process, Update, process

BUFFERS = ('maintain', 'average', 'reset')


def local_sgd(
    learning_rate: Any,
    curvature: Any,
    momentum: Any = 0.0,
    nesterov: bool = False,
    k: Any = 8,
    slow_step_size: Any = 1.0,
    outer_momentum: Any = 0.0,
    outer_nesterov: bool = True,
    buffer_policy: str = 'maintain',
) -> Process:
    """The mean over the workers, as the process of one worker: give `fixed_point` the noise of one
    worker over W.

    Workers w = 1 .. W move by x_w, m_w <- M (x_w, m_w) + b xi_w, with M and b of
    `process` and xi_w independent of variance v. M is the same for all, so mean_w (x_w, m_w) moves
    by M too, with the noise mean_w xi_w, of variance v / W. A synchronisation sees the workers
    through mean_w x_w alone, and what it does to the buffers is linear: (mean x, mean m, slow s,
    outer velocity u) is a closed system of four numbers, whatever W:

        d = s - mean x,   u <- mu u + d,   s <- s - alpha (d + mu u)   (Nesterov; heavy ball: s -
        alpha u)
        mean x <- s

    Buffers kept and buffers averaged have the same mean. So W workers are one worker with 1 / W of
    the noise.

    Args:
        learning_rate, curvature, momentum, nesterov: of the workers, as in `process`.
        k: updates between synchronisations, >= 1.
        slow_step_size: alpha > 0.
        outer_momentum: mu in [0, 1).
        outer_nesterov: which of the two.
        buffer_policy: 'maintain', 'average' or 'reset'.

    Returns:
        A process whose state is (mean x, mean m, s, u); `evaluation` are the slow weights. Right
        after a synchronisation mean x = s.

    Source: Stich 2019, arXiv:1805.09767; Douillard et al. 2023, arXiv:2311.08105.
    """
    require('k', k, k >= 1, 'an integer (updates) >= 1')
    require('slow_step_size', slow_step_size, slow_step_size > 0, 'a number > 0')
    is_fraction = (outer_momentum >= 0) & (outer_momentum < 1)
    require('outer_momentum', outer_momentum, is_fraction, '0 <= outer_momentum < 1')
    require('buffer_policy', buffer_policy, buffer_policy in BUFFERS, ', '.join(BUFFERS))
    worker = process(learning_rate, curvature, momentum, nesterov)
    return _build(worker, k, slow_step_size, outer_momentum, outer_nesterov, buffer_policy)


def averaged_variance(
    learning_rate: Any, curvature: Any, noise: Any, workers: Any, k: Any, slow_step_size: Any = 1.0
) -> Any:
    """V* of the slow weights of W workers with SGD inside and no outer momentum.

        V* = alpha^2 (1 - r^2k) V*_SGD / W / (1 - (1 - alpha + alpha r^k)^2),    r = 1 - rate a

    In a cycle worker w goes from s to r^k s + e_w with Var e_w = (1 - r^2k) V*_SGD, independent of
    the others; so s <- (1 - alpha + alpha r^k) s + alpha mean_w e_w, and the mean has 1 / W of the
    variance: Proposition 2 of Lookahead over W. With alpha = 1 this is V*_SGD / W for every k:
    plain averaging costs no variance, at rest, however rarely it is done.

    Args:
        noise: v >= 0, variance of the mean target of one update of one worker.
        workers: W >= 1. The others as in `lookahead.proposition_2`.
    """
    workers = jnp.asarray(workers)
    require('workers', workers, workers >= 1, 'a number >= 1')
    return proposition_2(learning_rate, curvature, noise, k, slow_step_size) / workers


def worker_spread(
    learning_rate: Any,
    curvature: Any,
    noise: Any,
    workers: Any,
    momentum: Any = 0.0,
    nesterov: bool = False,
    k: Any = 8,
    buffer_policy: str = 'maintain',
) -> Any:
    """E mean_w (x_w - mean x)^2 of the workers at rest, when they meet: the square of the column
    worker_spread.

    The deviations (x_w - mean x, m_w - mean m) move by M with noise of variance v (1 - 1 / W); a
    synchronisation sets the first to 0 and keeps the second ('reset', 'average': 0 too). With SGD:
    (1 - 1 / W) (1 - r^2k) V*_SGD.

    Arguments as in local_sgd and averaged_variance. Where the deviations do not come to rest:
    ValueError, or inf where numbers are traced. Without a buffer that is kept they always do, as
    each meeting ends them.
    """
    workers = jnp.asarray(workers)
    require('workers', workers, workers >= 1, 'a number >= 1')
    require('k', k, jnp.asarray(k) >= 1, 'an integer (updates) >= 1')
    require('buffer_policy', buffer_policy, buffer_policy in BUFFERS, ', '.join(BUFFERS))
    worker = process(learning_rate, curvature, momentum, nesterov)
    # of (x_w - mean x, m_w - mean m), what a meeting leaves
    mask = jnp.asarray([0.0, float(buffer_policy == 'maintain')], worker.inner.change.dtype)
    meet = jnp.diag(mask - 1)
    meeting = worker._replace(last=worker.inner.then(meet), k=jnp.asarray(k))
    rest = fixed_point(meeting, noise)
    covariance = jnp.where(rest.stable, rest.covariance, 0.0)
    before = _grown(meeting, noise, covariance, meeting.k)
    return jnp.where(rest.stable, (1 - 1 / workers) * before, jnp.inf)


@jax.jit
def _grown(process, noise, covariance, k):
    """Variance of the weights after k updates."""
    start = State(jnp.zeros_like(process.fast), covariance)
    without_meetings = process._replace(last=process.inner, k=jnp.ones_like(k))
    return noisy_quadratic(without_meetings, noise, start, k).covariance[0, 0]


@partial(jax.jit, static_argnames=('outer_nesterov', 'buffer_policy'))
def _build(worker, k, slow_step_size, outer_momentum, outer_nesterov, buffer_policy):
    """The process (mean x - s, rate mean m, s, u): the workers move the first two, a meeting all
    four."""
    dtype = worker.inner.change.dtype
    alpha = jnp.asarray(slow_step_size, dtype)
    mu = jnp.asarray(outer_momentum, dtype)
    is_reset = jnp.asarray(float(buffer_policy == 'reset'), dtype)
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    # With d = s - mean x: d + mu u = (1 + mu) d + mu^2 u_old; heavy ball: u = d + mu u_old.
    of_d, of_u = one, mu
    if outer_nesterov:
        of_d, of_u = 1 + mu, mu**2
    rows = (
        [-one, zero, zero, zero],
        [zero, -is_reset, zero, zero],
        [alpha * of_d, zero, zero, -alpha * of_u],
        [-one, zero, zero, mu - 1],
    )
    meet = jnp.stack(list(map(jnp.stack, rows)))

    def vector(*numbers):
        return jnp.asarray(numbers, dtype)

    # A worker's gradient sees x = (x - s) + s.
    change = jnp.zeros((4, 4), dtype)
    change = change.at[:2, :2].set(worker.inner.change)
    change = change.at[:2, 2].set(worker.inner.change[:, 0])
    noise_gain = jnp.zeros(4, dtype).at[:2].set(worker.inner.noise_gain)
    inner = Update(change, noise_gain)
    return Process(
        inner=inner,
        last=inner.then(meet),
        k=jnp.asarray(k),
        fast=vector(1, 0, 0, 0),
        evaluation=vector(0, 0, 1, 0),
        initial_mask=vector(1, 0, 1, 0),
        averaging=jnp.ones((), dtype),
        step=worker.step,
        units=jnp.ones(4, dtype).at[1].set(worker.units[1]),
        offset=vector(1, 0, 0, 0),
        base=vector(0, 0, 1, 0),
    )
