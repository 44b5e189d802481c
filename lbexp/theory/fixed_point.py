"""Where the covariance of a noisy quadratic comes to rest, and how fast."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.theory.limits import require
from lbexp.theory.noisy_quadratic import State, advance, cycle
from lbexp.theory.process import Process, product


class FixedPoint(NamedTuple):
    """Stationary covariance of the state; the stationary mean is 0, the optimum."""

    covariance: Any  # [n, n] at the end of a cycle, that is: right after a synchronisation. inf where not stable
    average: Any  # [n, n] mean over the k updates of a cycle: what one sees who looks after every update
    radius: Any  # spectral radius of one cycle
    stable: Any  # bool: radius < 1, by more than rounding


def fixed_point(process: Process, noise: Any) -> FixedPoint:
    """Solves covariance = C covariance C^T + spread for the map (C, spread) of one cycle.

    As a linear system on the stacked entries, (I - C kron C) vec = vec(spread). It has a solution that is a
    covariance iff the spectral radius of C is below 1.

    Args:
        process: from `process`; vmap for many coordinates.
        noise: sigma^2 / B >= 0, variance of the mean target of one update.

    Raises:
        ValueError: not stable; with traced numbers the covariance is inf and `stable` False instead.
    """
    require('noise', noise, jnp.asarray(noise) >= 0, 'a variance >= 0')
    found = _solve(process, noise)
    rule = 'below 1: lower the learning rate (limits.learning_rate_limit), the momentum, or change k'
    require('spectral radius of a cycle', found.radius, found.stable, rule)
    return found


def within_cycle(process: Process, noise: Any, covariance: Any, k: int) -> Any:
    """Covariances [k + 1, n, n] at inner updates 0 .. k of a stationary cycle; 0 and k are synchronisations.

    Args:
        covariance: at the end of a cycle, from fixed_point.
        k: updates per cycle, a plain int (it is a shape).
    """
    state, seen = State(jnp.zeros_like(process.fast), covariance), [covariance]
    for _ in range(k - 1):
        state = advance(process.inner, noise, state)
        seen.append(state.covariance)
    return jnp.stack([*seen, advance(process.last, noise, state).covariance])


@jax.jit
def spectral_radius(matrix: Any) -> Any:
    """Largest absolute eigenvalue, by repeated squaring: lim |M^p|^(1/p), p = 2^48 (Gelfand).

    Needs no eigensolver, so it runs on every platform, and keeps its accuracy at defective matrices (critical
    damping), where an eigensolver has half the digits.
    """

    def square(carry, weight):
        matrix, log_radius = carry
        size = jnp.sqrt(jnp.sum(matrix**2))
        scaled = matrix / jnp.where(size > 0, size, 1.0)
        return (product(scaled, scaled), log_radius + weight * jnp.log(size)), None

    weights = 0.5 ** jnp.arange(48, dtype=matrix.dtype)
    log_radius = jax.lax.scan(square, (matrix, jnp.zeros((), matrix.dtype)), weights)[0][1]
    return jnp.exp(log_radius)


@jax.jit
def _solve(process, noise):
    matrix, spread = cycle(process, noise)
    radius = spectral_radius(matrix)
    stable = radius < 1 - 16 * jnp.finfo(radius.dtype).eps
    n = matrix.shape[0]
    # A placeholder that can be solved stands in where there is no answer, so that no NaN is made.
    safe = jnp.where(stable, matrix, jnp.zeros_like(matrix))
    kron = (safe[:, None, :, None] * safe[None, :, None, :]).reshape(n * n, n * n)
    solved = jnp.linalg.solve(jnp.eye(n * n, dtype=matrix.dtype) - kron, spread.reshape(n * n)).reshape(n, n)
    covariance = jnp.where(stable, (solved + solved.T) / 2, jnp.inf)

    def add(j, carry):
        total, state = carry
        state = advance(process.inner, noise, state)
        return total + state.covariance, state

    begin = State(jnp.zeros_like(process.fast), jnp.where(stable, covariance, 0.0))
    total, _ = jax.lax.fori_loop(0, process.k - 1, add, (begin.covariance, begin))
    average = jnp.where(stable, total / process.k, jnp.inf)
    return FixedPoint(covariance, average, radius, stable)
