"""Local SGD on the noisy quadratic: the mean of the workers and their distance from it, as linear maps."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.theory.fixed_point import fixed_point
from lbexp.theory.limits import require
from lbexp.theory.lookahead import proposition_2
from lbexp.theory.noisy_quadratic import State, advance
from lbexp.theory.process import Process, Update, process, product


def local_sgd(
    learning_rate: Any,
    curvature: Any,
    momentum: Any = 0.0,
    nesterov: bool = False,
    k: Any = 8,
    slow_step_size: Any = 1.0,
    outer_momentum: Any = 0.0,
    outer_nesterov: bool = True,
    buffer: str = 'maintain',
) -> Process:
    """The mean over the workers, as the process of one worker: give `fixed_point` the noise of one worker over W.

    Workers w = 1 .. W move by x_w, m_w <- M (x_w, m_w) + response xi_w, with M and response of `process` and xi_w
    independent of variance v. M is the same for all, so mean_w (x_w, m_w) moves by M too, with the noise
    mean_w xi_w, of variance v / W. A synchronisation sees the workers through mean_w x_w alone, and what it does to the
    buffers is linear: (mean x, mean m, slow s, outer velocity u) is a closed system of four numbers, whatever W:

        d = s - mean x,   u <- mu u + d,   s <- s - alpha (d + mu u)   (Nesterov; heavy ball: s - alpha u)
        mean x <- s

    Buffers kept and buffers averaged have the same mean. So W workers are one worker with 1 / W of the noise.

    Args:
        learning_rate, curvature, momentum, nesterov: of the workers, as in `process`.
        k: updates between synchronisations, >= 1.
        slow_step_size: alpha > 0.
        outer_momentum: mu in [0, 1).
        outer_nesterov: which of the two.
        buffer: 'maintain', 'average' or 'reset'.

    Returns:
        A process whose state is (mean x, mean m, s, u); `evaluation` are the slow weights. Right after a
        synchronisation mean x = s.

    Source: Stich 2019, arXiv:1805.09767; Douillard et al. 2023, arXiv:2311.08105.
    """
    require('k', k, k >= 1, 'a whole number of updates >= 1')
    require('slow_step_size', slow_step_size, slow_step_size > 0, 'a number > 0')
    require('outer_momentum', outer_momentum, (outer_momentum >= 0) & (outer_momentum < 1), '0 <= outer_momentum < 1')
    modes = ('maintain', 'average', 'reset')
    require('buffer', buffer, buffer in modes, ', '.join(modes))
    worker = process(learning_rate, curvature, momentum, nesterov).inner
    return _build(worker, k, slow_step_size, outer_momentum, outer_nesterov, buffer)


def averaged_variance(
    learning_rate: Any, curvature: Any, noise: Any, workers: Any, k: Any, slow_step_size: Any = 1.0
) -> Any:
    """V* of the slow weights of W workers with SGD inside and no outer momentum.

        V* = alpha^2 (1 - r^2k) V*_SGD / W / (1 - (1 - alpha + alpha r^k)^2),    r = 1 - rate a

    In a cycle worker w goes from s to r^k s + e_w with Var e_w = (1 - r^2k) V*_SGD, independent of the others; so
    s <- (1 - alpha + alpha r^k) s + alpha mean_w e_w, and the mean has 1 / W of the variance: Proposition 2 of
    Lookahead over W. With alpha = 1 this is V*_SGD / W for every k: plain averaging costs no variance, at rest, however
    rarely it is done.

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
    buffer: str = 'maintain',
) -> Any:
    """E mean_w (x_w - mean x)^2 of the workers at rest, when they meet: the square of the column worker_spread.

    The deviations (x_w - mean x, m_w - mean m) move by M with noise of variance v (1 - 1 / W); a synchronisation sets
    the first to 0 and keeps the second ('reset', 'average': 0 too). With SGD: (1 - 1 / W) (1 - r^2k) V*_SGD.

    Arguments as in local_sgd and averaged_variance.
    """
    worker = process(learning_rate, curvature, momentum, nesterov, k=k)
    kept = jnp.asarray([0.0, 1.0 if buffer == 'maintain' else 0.0], worker.inner.matrix.dtype)
    inner = Update(worker.inner.matrix[:2, :2], worker.inner.response[:2])
    last = Update(kept[:, None] * inner.matrix, kept * inner.response)
    zero, first = jnp.zeros(()), jnp.asarray([1.0, 0.0], kept.dtype)
    apart = Process(inner, last, worker.k, first, first, jnp.zeros_like(first), zero)
    covariance = fixed_point(apart, noise).covariance
    return (1 - 1 / jnp.asarray(workers)) * _grown(inner, noise, covariance, worker.k)


@jax.jit
def _grown(inner, noise, covariance, k):
    """Variance of the first number after k updates."""
    begin = State(jnp.zeros_like(inner.response), covariance)
    return jax.lax.fori_loop(0, k, lambda _, s: advance(inner, noise, s), begin).covariance[0, 0]


@partial(jax.jit, static_argnames=('outer_nesterov', 'buffer'))
def _build(worker, k, slow_step_size, outer_momentum, outer_nesterov, buffer):
    dtype = worker.matrix.dtype
    alpha, mu, kept = (jnp.asarray(x, dtype) for x in (slow_step_size, outer_momentum, float(buffer != 'reset')))
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    # d + mu u = (1 + mu) d + mu^2 u_old; heavy ball: u = d + mu u_old.
    of_d, of_u = (1 + mu, mu**2) if outer_nesterov else (one, mu)
    slow = [alpha * of_d, zero, 1 - alpha * of_d, -alpha * of_u]
    meet = jnp.stack([jnp.stack(row) for row in (slow, [zero, kept, zero, zero], slow, [-one, zero, one, mu])])
    matrix = jnp.eye(4, dtype=dtype).at[:2, :2].set(worker.matrix)
    response = jnp.zeros(4, dtype).at[:2].set(worker.response)
    vector = lambda *numbers: jnp.asarray(numbers, dtype)
    return Process(
        inner=Update(matrix, response),
        last=Update(product(meet, matrix), product(meet, response[:, None])[:, 0]),
        k=jnp.asarray(k),
        fast=vector(1, 0, 0, 0),
        evaluation=vector(0, 0, 1, 0),
        copies=vector(1, 0, 1, 0),
        decay=jnp.zeros((), dtype),
    )
