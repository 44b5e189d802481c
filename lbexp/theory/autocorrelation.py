"""How much a stationary average is worth: autocorrelation time and effective sample size of linear processes."""

from typing import Any

import jax.numpy as jnp

from lbexp.theory.fixed_point import fixed_point
from lbexp.theory.limits import require
from lbexp.theory.noisy_quadratic import cycle
from lbexp.theory.process import Process, product


def autocorrelation(process: Process, noise: Any, lags: int) -> Any:
    """rho_0 .. rho_lags of the fast weights at rest, at synchronisations (lag unit: a cycle of k updates).

        rho_j = (C^j S)_xx / S_xx

    with C the matrix of a cycle and S the stationary covariance: E z_{t+j} z_t^T = C^j S. For SGD rho_j = r^j with
    r = 1 - rate a; squares of Gaussian weights have rho_j^2.
    """

    matrix, _ = cycle(process, noise)
    covariance = fixed_point(process, noise).covariance
    column, rho = covariance[:, :1], []
    for _ in range(lags + 1):
        rho.append(column[0, 0] / covariance[0, 0])
        column = product(matrix, column)
    return jnp.stack(rho)


def autocorrelation_time(coefficient: Any, steps: Any = None) -> Any:
    """tau of an AR(1) process x <- r x + noise: the variance of an average of T values is tau V / T.

        tau = (1 + r) / (1 - r)                                     for T -> infinity
        tau = (1 + r) / (1 - r) - 2 r (1 - r^T) / (T (1 - r)^2)     exactly

    SGD: r = 1 - rate a. The square of a Gaussian AR(1) process, so its variance, loss: r^2 in place of r.

    Args:
        coefficient: r, -1 < r < 1.
        steps: T >= 1; None: the limit.
    """
    r = jnp.asarray(coefficient)
    require('coefficient', r, jnp.abs(r) < 1, '-1 < coefficient < 1: outside, the process does not come to rest')
    safe = jnp.where(jnp.abs(r) < 1, r, 0.0)
    tau = (1 + safe) / (1 - safe)
    if steps is not None:
        tau = tau - 2 * safe * (1 - safe**steps) / (steps * (1 - safe) ** 2)
    return jnp.where(jnp.abs(r) < 1, tau, jnp.inf)


def effective_sample_size(coefficient: Any, steps: Any) -> Any:
    """T / tau: how many independent values say as much about the mean as `steps` values of an AR(1) process."""
    return steps / autocorrelation_time(coefficient, steps)


def sde_coefficient(relaxation: Any, interval: Any) -> Any:
    """r of the AR(1) process that a linear SDE dx = -theta x dt + s dW is at times 0, dt, 2 dt, ...

        r = exp(-theta dt)

    exactly. SGD with rate gamma and curvature a follows it with theta dt = gamma a while gamma a << 1.

    Args:
        relaxation: theta > 0 [1 / time].
        interval: dt > 0 [time].
    """
    require('relaxation', relaxation, jnp.asarray(relaxation) > 0, 'a number > 0')
    require('interval', interval, jnp.asarray(interval) > 0, 'a number > 0')
    return jnp.exp(-jnp.asarray(relaxation) * interval)


def burn_in(radius: Any, tolerance: Any = 1e-3) -> Any:
    """Updates (or cycles) until a linear process has forgotten its start.

        T = log(tolerance) / log(radius)

    The mean decays at least like radius^T, its contribution to second moments like radius^2T. At critical damping
    a polynomial factor is added: choose the tolerance with room.

    Args:
        radius: spectral radius of one update (or cycle) of the slowest mode, in [0, 1).
        tolerance: what remains of the start, in (0, 1).
    """
    require('radius', radius, (jnp.asarray(radius) >= 0) & (jnp.asarray(radius) < 1), '0 <= radius < 1')
    require('tolerance', tolerance, (jnp.asarray(tolerance) > 0) & (jnp.asarray(tolerance) < 1), '0 < tolerance < 1')
    fine = jnp.asarray(radius) < 1
    decay = -jnp.log(jnp.where(fine, radius, 0.5))
    return jnp.where(fine, jnp.ceil(-jnp.log(tolerance) / decay), jnp.inf)
