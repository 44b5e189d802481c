"""The noisy quadratic model, exactly: mean and covariance after any number of updates."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.shapes import Matrix, Scalar, StackOfMatrices, StackOfVectors, Vector
from lbexp.theory.limits import require
from lbexp.theory.linear_maps import (
    around,
    compose,
    covariance_change,
    next_power,
    of_vector,
    outer,
    product,
)
from lbexp.theory.process import (
    Process,
    Update,
    external,
    external_covariance,
    internal,
    internal_covariance,
)


class State(NamedTuple):
    """Mean and covariance of the process's state z, which counts from the optimum; of one state, or
    of a stack of them."""

    mean: StackOfVectors
    covariance: StackOfMatrices


def start(process: Process, mean: Any, variance: Any = 0.0) -> State:
    """The weights at a random point (mean and variance, from the optimum), buffers and averages at
    0."""
    initial_mask = process.initial_mask
    return State(initial_mask * mean, outer(initial_mask) * variance)


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
) -> tuple[Scalar, Scalar]:
    """Mean and variance of the average of the fast weights over updates skip + 1 .. skip + steps.

    The sum S <- S + x rides along in the state (`process(..., tail=True)`), is set to 0 after
    `skip` updates, and the average is S / steps: exact, transients and correlations included.

    Args:
        process: made with tail=True.
        skip: updates before the tail, a multiple of k.
        steps: length of the tail [updates], >= 1.
    """
    is_multiple = jnp.asarray(skip) % process.k == 0
    require('skip', skip, is_multiple, 'a multiple of k: the tail starts with a cycle')
    early = noisy_quadratic(process, noise, state, skip)
    # The sum, the last entry, starts again.
    mask = jnp.ones_like(process.fast).at[-1].set(0.0)
    mean = early.mean * mask
    covariance = early.covariance * mask[:, None] * mask[None, :]
    late = noisy_quadratic(process, noise, State(mean, covariance), steps)
    count = jnp.asarray(steps, late.mean.dtype)
    variance_of_sum = late.covariance[-1, -1]
    return late.mean[-1] / steps, variance_of_sum / count**2


def fast_weights(process: Process, state: State) -> tuple[Scalar, Scalar]:
    """Mean and variance of the fast weights."""
    return _observed(process.fast, state)


def evaluation_weights(
    process: Process, state: State, steps: Any = jnp.inf
) -> tuple[Scalar, Scalar]:
    """Mean and variance of the weights to deploy: slow, averaged, or the fast ones where there is
    nothing else.

    Args:
        steps: updates done, >= 1, for the bias correction of an EMA; by default it has died away.
    """
    mean, variance = _observed(process.evaluation, state)
    weight = -jnp.expm1(steps * jnp.log1p(-process.averaging))
    return mean / weight, variance / weight**2


@jax.jit
def cycle(process: Process, noise: Any) -> tuple[Matrix, Matrix]:
    """(matrix, spread) of a whole cycle: z <- matrix z + e, Cov e = spread."""
    change, spread = cycle_change(process)
    identity = jnp.eye(change.shape[0], dtype=change.dtype)
    matrix = product(external(process, identity + change), internal(process, identity))
    return matrix, external_covariance(process, spread, noise)


def cycle_change(process: Process) -> tuple[Matrix, Matrix]:
    """(A, Q) of a whole cycle: w <- w + A w + h e, Cov e = Q at a noise of 1."""
    nothing = jnp.zeros_like(process.inner.change)

    def after(update, change, spread):
        return compose(update.change, change), spread_after(update, spread)

    def add_update(_, cycle):
        return after(process.inner, *cycle)

    start = jax.lax.fori_loop(0, process.k - 1, add_update, (nothing, nothing))
    return after(process.last, *start)


def spread_after(update: Update, spread: Matrix) -> Matrix:
    """Covariance of w / h after an update, at a noise of 1."""
    kick = outer(update.noise_gain)
    return spread + covariance_change(update.change, spread) + kick


class _Moments(NamedTuple):
    """Of w. The covariance's parts are kept apart: that of the noise is in units of v h^2, which
    may be tiny."""

    mean: Vector
    of_start: Matrix
    of_noise: Matrix


@jax.jit
def _after(process, noise, state, steps):
    cycles = steps // process.k
    rest = steps % process.k
    moments = _after_cycles(process, cycles, _internal_moments(process, state))

    def update(_, moments):
        return _sum(moments, _changes(process.inner, moments))

    moments = jax.lax.fori_loop(0, rest, update, moments)
    after = _state(process, noise, moments)
    # inf - inf: a process that is not stable, gone beyond a float
    return jax.tree.map(lambda x: jnp.where(jnp.isnan(x), jnp.inf, x), after)


def _after_cycles(process, count, moments):
    """Binary powers: the map of 2^j cycles is applied where bit j of the count is set."""

    def square(carry):
        count, change, power, spread, moments = carry
        further = _Moments(
            of_vector(power, moments.mean),
            around(power, moments.of_start),
            around(power, moments.of_noise) + spread,
        )

        def if_odd(after, before):
            return jnp.where(count % 2 == 1, after, before)

        moments = jax.tree.map(if_odd, further, moments)
        half = count // 2
        next_change, next_matrix = next_power(change, power)
        return half, next_change, next_matrix, spread + around(power, spread), moments

    change, spread = cycle_change(process)
    matrix = jnp.eye(change.shape[0], dtype=change.dtype) + change
    carry = (count, change, matrix, spread, moments)
    *_, moments = jax.lax.while_loop(lambda carry: carry[0] > 0, square, carry)
    return moments


@partial(jax.jit, static_argnums=3)
def _all(process, noise, state, steps):
    """Compensated sums (Kahan): a change far below the rounding of what it changes adds up over the
    steps."""

    def step(carry, t):
        moments, lost = carry
        is_last = (t + 1) % process.k == 0

        def choose(last, inner):
            return jnp.where(is_last, last, inner)

        update = jax.tree.map(choose, process.last, process.inner)
        change = _sum(_changes(update, moments), lost)
        after = _sum(moments, change)
        # what rounding dropped of the change, for the next step
        lost = jax.tree.map(lambda delta, new, old: delta - (new - old), change, after, moments)
        return (after, lost), _state(process, noise, after)

    def with_first(first, rest):
        return jnp.concatenate([first[None], rest])

    moments = _internal_moments(process, state)
    nothing_lost = jax.tree.map(jnp.zeros_like, moments)
    _, states = jax.lax.scan(step, (moments, nothing_lost), jnp.arange(steps))
    return jax.tree.map(with_first, state, states)


def _internal_moments(process, state):
    mean = internal(process, state.mean[:, None])[:, 0]
    covariance = internal_covariance(process, state.covariance)
    return _Moments(mean, covariance, jnp.zeros_like(covariance))


def _state(process, noise, moments):
    mean = external(process, moments.mean[:, None])[:, 0]
    of_start = external_covariance(process, moments.of_start)
    of_noise = external_covariance(process, moments.of_noise, noise)
    return State(mean, of_start + of_noise)


def _changes(update, moments):
    """What an update adds to the moments."""
    kick = outer(update.noise_gain)
    push = of_vector(update.change, moments.mean)
    of_start = covariance_change(update.change, moments.of_start)
    of_noise = covariance_change(update.change, moments.of_noise) + kick
    return _Moments(push, of_start, of_noise)


def _sum(a, b):
    return jax.tree.map(jnp.add, a, b)


def _observed(vector, state):
    """Mean and variance of vector @ z."""
    mean = jnp.sum(vector * state.mean)
    variance = jnp.sum(vector * of_vector(state.covariance, vector))
    return mean, variance
