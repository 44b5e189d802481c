"""The noisy quadratic model, exactly: mean and covariance after any number of updates."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.theory.limits import require
from lbexp.theory.process import Process, Update, product


class State(NamedTuple):
    """Mean and covariance of the process's state z, which counts from the optimum."""

    mean: Any  # [n]
    covariance: Any  # [n, n]


def start(process: Process, mean: Any, variance: Any = 0.0) -> State:
    """The weights at a random point (mean and variance, from the optimum), buffers and averages at 0."""
    copies = process.copies
    return State(copies * mean, copies[:, None] * copies[None, :] * variance)


def noisy_quadratic(process: Process, noise: Any, state: State, steps: Any) -> State:
    """The state after `steps` updates of 1/2 a (x - c)^2, c ~ N(x*, sigma^2 / B) drawn anew for each update.

    With an update z <- M z + w xi, xi independent of z, E xi = 0, Var xi = v:

        mean <- M mean,    covariance <- M covariance M^T + v w w^T

    exactly, whatever the distribution of xi. A cycle of k updates composes to one map of the same form; its powers
    come by squaring, so the cost is O(k + log steps). A process that is not stable grows as it should; what no
    longer fits a float is inf, never NaN.

    Args:
        process: from `process`; scalars inside, so vmap for many coordinates.
        noise: v = sigma^2 / B >= 0, variance of the mean target of one update.
        state: where it starts (at the start of a cycle).
        steps: updates, >= 0; may be traced.

    Source: Zhang et al. 2019, arXiv:1907.08610, Appendix B; arXiv:1907.04164, Appendix.
    """
    require('noise', noise, jnp.asarray(noise) >= 0, 'a variance >= 0')
    require('steps', steps, jnp.asarray(steps) >= 0, 'a number of updates >= 0')
    return _after(process, noise, state, jnp.asarray(steps))


def trajectory(process: Process, noise: Any, state: State, steps: int) -> State:
    """The states after 0, 1, ..., steps updates, stacked along the first axis. Arguments as in noisy_quadratic."""
    require('noise', noise, jnp.asarray(noise) >= 0, 'a variance >= 0')
    return _all(process, noise, state, steps)


def tail_average(process: Process, noise: Any, state: State, skip: Any, steps: Any) -> tuple[Any, Any]:
    """Mean and variance of the average of the fast weights over updates skip + 1 .. skip + steps.

    The sum S <- S + x rides along in the state (`process(..., tail=True)`), is set to 0 after `skip` updates, and the
    average is S / steps: exact, transients and correlations included.

    Args:
        process: made with tail=True.
        skip: updates before the tail, a multiple of k.
        steps: length of the tail [updates], >= 1.
    """
    require('skip', skip, jnp.asarray(skip) % process.k == 0, 'a multiple of k: the tail starts with a cycle')
    kept = jnp.ones_like(process.fast).at[-1].set(0.0)
    early = noisy_quadratic(process, noise, state, skip)
    early = State(early.mean * kept, early.covariance * kept[:, None] * kept[None, :])
    late = noisy_quadratic(process, noise, early, steps)
    return late.mean[-1] / steps, late.covariance[-1, -1] / jnp.asarray(steps, late.mean.dtype) ** 2


def fast_weights(process: Process, state: State) -> tuple[Any, Any]:
    """Mean and variance of the fast weights."""
    return _observed(process.fast, state)


def evaluation_weights(process: Process, state: State, steps: Any = jnp.inf) -> tuple[Any, Any]:
    """Mean and variance of the weights to deploy: slow, averaged, or the fast ones where there is nothing else.

    Args:
        steps: updates done, >= 1, for the bias correction of an EMA; by default it has died away.
    """
    mean, variance = _observed(process.evaluation, state)
    weight = -jnp.expm1(steps * jnp.log(process.decay))
    return mean / weight, variance / weight**2


@jax.jit
def cycle(process: Process, noise: Any) -> tuple[Any, Any]:
    """(matrix, spread) of a whole cycle: z <- matrix z + e, Cov e = spread."""
    identity = jnp.eye(process.fast.shape[0], dtype=process.inner.matrix.dtype)
    begin = State(identity, jnp.zeros_like(identity))
    inner = lambda _, s: State(product(process.inner.matrix, s.mean), advance(process.inner, noise, s).covariance)
    state = jax.lax.fori_loop(0, process.k - 1, inner, begin)
    return product(process.last.matrix, state.mean), advance(process.last, noise, state).covariance


def advance(update: Update, noise: Any, state: State) -> State:
    """One update of mean (vector or matrix) and covariance."""
    mean = product(update.matrix, state.mean) if state.mean.ndim == 2 else _times(update.matrix, state.mean)
    kick = noise * update.response[:, None] * update.response[None, :]
    return State(mean, _sandwich(update.matrix, state.covariance) + kick)


@jax.jit
def _after(process, noise, state, steps):
    cycles, rest = steps // process.k, steps % process.k

    def square(carry):
        count, matrix, spread, state = carry
        moved = State(_times(matrix, state.mean), _sandwich(matrix, state.covariance) + spread)
        state = jax.tree.map(lambda new, old: jnp.where(count % 2 == 1, new, old), moved, state)
        return count // 2, product(matrix, matrix), _sandwich(matrix, spread) + spread, state

    carry = (cycles, *cycle(process, noise), state)
    state = jax.lax.while_loop(lambda carry: carry[0] > 0, square, carry)[-1]
    state = jax.lax.fori_loop(0, rest, lambda _, s: advance(process.inner, noise, s), state)
    return jax.tree.map(lambda value: jnp.where(jnp.isnan(value), jnp.inf, value), state)


@partial(jax.jit, static_argnums=3)
def _all(process, noise, state, steps):
    def step(state, t):
        last = (t + 1) % process.k == 0
        update = jax.tree.map(lambda a, b: jnp.where(last, a, b), process.last, process.inner)
        state = advance(update, noise, state)
        return state, state

    states = jax.lax.scan(step, state, jnp.arange(steps))[1]
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), state, states)


def _observed(vector, state):
    return jnp.sum(vector * state.mean), jnp.sum(vector * _times(state.covariance, vector))


def _times(matrix, vector):
    return jnp.sum(matrix * vector[None, :], axis=-1)


def _sandwich(matrix, covariance):
    return product(product(matrix, covariance), matrix.T)
