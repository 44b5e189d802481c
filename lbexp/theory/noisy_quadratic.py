"""The noisy quadratic model, exactly: mean and covariance after any number of updates."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.theory.limits import require
from lbexp.theory.linear_maps import compose, covariance_change, next_power, product
from lbexp.theory.process import (
    Process,
    Update,
    external,
    external_covariance,
    internal,
    internal_covariance,
)


class State(NamedTuple):
    """Mean and covariance of the process's state z, which counts from the optimum."""

    mean: Any  # [n]
    covariance: Any  # [n, n]


def start(process: Process, mean: Any, variance: Any = 0.0) -> State:
    """The weights at a random point (mean and variance, from the optimum), buffers and averages at
    0."""
    initial_mask = process.initial_mask
    return State(initial_mask * mean, initial_mask[:, None] * initial_mask[None, :] * variance)


def noisy_quadratic(process: Process, noise: Any, state: State, steps: Any) -> State:
    """The state after `steps` updates of 1/2 a (x - c)^2, c ~ N(x*, sigma^2 / B) drawn anew for
    each update.

    With an update z <- M z + w xi, xi independent of z, E xi = 0, Var xi = v:

        mean <- M mean,    covariance <- M covariance M^T + v w w^T

    exactly, whatever the distribution of xi. A cycle of k updates composes to one map of the same
    form; its powers come by squaring, so the cost is O(k + log steps), and so do changes M - I, so
    that rates times curvatures below the rounding of 1 count as they should. A process that is not
    stable grows as it should; what no longer fits a float is inf, never NaN.

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
    """The states after 0, 1, ..., steps updates, stacked along the first axis. Arguments as in
    noisy_quadratic."""
    require('noise', noise, jnp.asarray(noise) >= 0, 'a variance >= 0')
    return _all(process, noise, state, steps)


def tail_average(
    process: Process, noise: Any, state: State, skip: Any, steps: Any
) -> tuple[Any, Any]:
    """Mean and variance of the average of the fast weights over updates skip + 1 .. skip + steps.

    The sum S <- S + x rides along in the state (`process(..., tail=True)`), is set to 0 after
    `skip` updates, and the average is S / steps: exact, transients and correlations included.

    Args:
        process: made with tail=True.
        skip: updates before the tail, a multiple of k.
        steps: length of the tail [updates], >= 1.
    """
    require(
        'skip',
        skip,
        jnp.asarray(skip) % process.k == 0,
        ('a multiple of k: the tail starts with a cycle'),
    )
    mask = jnp.ones_like(process.fast).at[-1].set(0.0)
    early = noisy_quadratic(process, noise, state, skip)
    early = State(early.mean * mask, early.covariance * mask[:, None] * mask[None, :])
    late = noisy_quadratic(process, noise, early, steps)
    return late.mean[-1] / steps, late.covariance[-1, -1] / jnp.asarray(steps, late.mean.dtype) ** 2


def fast_weights(process: Process, state: State) -> tuple[Any, Any]:
    """Mean and variance of the fast weights."""
    return _observed(process.fast, state)


def evaluation_weights(process: Process, state: State, steps: Any = jnp.inf) -> tuple[Any, Any]:
    """Mean and variance of the weights to deploy: slow, averaged, or the fast ones where there is
    nothing else.

    Args:
        steps: updates done, >= 1, for the bias correction of an EMA; by default it has died away.
    """
    mean, variance = _observed(process.evaluation, state)
    weight = -jnp.expm1(steps * jnp.log1p(-process.averaging))
    return mean / weight, variance / weight**2


@jax.jit
def cycle(process: Process, noise: Any) -> tuple[Any, Any]:
    """(matrix, spread) of a whole cycle: z <- matrix z + e, Cov e = spread."""
    change, spread = cycle_change(process)
    identity = jnp.eye(change.shape[0], dtype=change.dtype)
    matrix = product(external(process, identity + change), internal(process, identity))
    return matrix, external_covariance(process, spread, noise)


def cycle_change(process: Process) -> tuple[Any, Any]:
    """(A, Q) of a whole cycle: w <- w + A w + h e, Cov e = Q at a noise of 1."""
    change, nothing = process.inner.change, jnp.zeros_like(process.inner.change)

    def inner(_, carry):
        earlier, spread = carry
        return compose(change, earlier), spread_after(process.inner, spread)

    start = jax.lax.fori_loop(0, process.k - 1, inner, (nothing, nothing))
    return compose(process.last.change, start[0]), spread_after(process.last, start[1])


def spread_after(update: Update, spread: Any) -> Any:
    """Covariance of w / h after an update, at a noise of 1."""
    kick = update.noise_gain[:, None] * update.noise_gain[None, :]
    return spread + covariance_change(update.change, spread) + kick


@jax.jit
def _after(process, noise, state, steps):
    """Covariances of the start and of the noise apart: the latter in units of v h^2, which may be
    tiny."""
    cycles, rest = steps // process.k, steps % process.k

    def square(carry):
        # Binary powers: the map of 2^j cycles is applied where bit j of the count is set.
        count, change, power, spread, moments = carry
        mean, old, new = moments
        further = (
            jnp.sum(power * mean[None, :], axis=-1),
            _around(power, old),
            _around(power, new) + spread,
        )
        moments = jax.tree.map(
            lambda after, before: jnp.where(count % 2 == 1, after, before), further, moments
        )
        return count // 2, *next_power(change, power), spread + _around(power, spread), moments

    change, spread = cycle_change(process)
    identity = jnp.eye(change.shape[0], dtype=change.dtype)
    carry = (cycles, change, identity + change, spread, _internal_moments(process, state))
    moments = jax.lax.while_loop(lambda carry: carry[0] > 0, square, carry)[-1]
    moments = jax.lax.fori_loop(0, rest, lambda _, m: _updated(process.inner, m), moments)
    return jax.tree.map(
        lambda x: jnp.where(jnp.isnan(x), jnp.inf, x), _state(process, noise, moments)
    )


@partial(jax.jit, static_argnums=3)
def _all(process, noise, state, steps):
    """Compensated sums (Kahan): a change far below the rounding of what it changes adds up over the
    steps."""

    def step(carry, t):
        moments, lost = carry
        last = (t + 1) % process.k == 0
        update = jax.tree.map(lambda a, b: jnp.where(last, a, b), process.last, process.inner)
        change = jax.tree.map(jnp.add, _changes(update, moments), lost)
        after = jax.tree.map(jnp.add, moments, change)
        lost = jax.tree.map(lambda delta, new, old: delta - (new - old), change, after, moments)
        return (after, lost), _state(process, noise, after)

    moments = _internal_moments(process, state)
    states = jax.lax.scan(
        step, (moments, jax.tree.map(jnp.zeros_like, moments)), jnp.arange(steps)
    )[1]
    return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), state, states)


def _internal_moments(process, state):
    """(mean, covariance, covariance by noise) of w."""
    mean = internal(process, state.mean[:, None])[:, 0]
    covariance = internal_covariance(process, state.covariance)
    return mean, covariance, jnp.zeros_like(covariance)


def _state(process, noise, moments):
    mean, old, new = moments
    mean = external(process, mean[:, None])[:, 0]
    return State(mean, external_covariance(process, old) + external_covariance(process, new, noise))


def _changes(update, moments):
    mean, old, new = moments
    kick = update.noise_gain[:, None] * update.noise_gain[None, :]
    push = jnp.sum(update.change * mean[None, :], axis=-1)
    return push, covariance_change(update.change, old), covariance_change(update.change, new) + kick


def _updated(update, moments):
    return jax.tree.map(jnp.add, moments, _changes(update, moments))


def _around(power, covariance):
    return product(product(power, covariance), power.T)


def _observed(vector, state):
    return jnp.sum(vector * state.mean), jnp.sum(
        vector * jnp.sum(state.covariance * vector[None, :], axis=-1)
    )
