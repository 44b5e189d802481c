"""How much a stationary average is worth: autocorrelation time and effective sample size of linear
processes."""

from typing import Any

import jax
import jax.numpy as jnp

from lbexp.shapes import Correlations
from lbexp.theory.fixed_point import fixed_point
from lbexp.theory.geometric import autocorrelation_sum
from lbexp.theory.limits import as_numpy, require
from lbexp.theory.linear_maps import moved
from lbexp.theory.noisy_quadratic import cycle_change
from lbexp.theory.process import Process, external, internal


def autocorrelation(process: Process, noise: Any, lags: int) -> Correlations:
    """rho_0 .. rho_lags of the fast weights at rest, at synchronisations (lag unit: a cycle of k
    updates).

        rho_j = (C^j S)_xx / S_xx

    with C the matrix of a cycle and S the stationary covariance: E z_{t+j} z_t^T = C^j S. For SGD
    rho_j = r^j with r = 1 - rate a; squares of Gaussian weights have rho_j^2.
    """

    require('noise', noise, jnp.asarray(noise) >= 0, 'a variance >= 0')
    change, _ = cycle_change(process)
    rest = fixed_point(process, 1.0)  # correlations do not depend on the noise
    variance = rest.covariance[0, 0]  # S_xx
    column = internal(process, rest.covariance[:, :1]) * (1 / variance)
    rho = []
    # C^j S e_x from C^(j - 1) S e_x: a column, never the power itself.
    for _ in range(lags + 1):
        state = external(process, column)[:, 0]
        rho.append(jnp.sum(process.fast * state))
        column = moved(change, column)
    return jnp.where(rest.stable, jnp.stack(rho), jnp.inf)


def autocorrelation_time(coefficient: Any, steps: Any = None, gap: Any = None) -> Any:
    """tau of an AR(1) process x <- r x + noise: the variance of an average of T values is tau V /
    T.

        tau = (1 + r) / (1 - r)                                     for T -> infinity
        tau = (1 + r) / (1 - r) - 2 r (1 - r^T) / (T (1 - r)^2)     exactly

    SGD: r = 1 - rate a. The square of a Gaussian AR(1) process, so its variance, loss: r^2 in place
    of r.

    Args:
        coefficient: r, -1 < r < 1.
        steps: T >= 1; None: the limit.
        gap: 1 - r in (0, 2), in place of the coefficient (None) where r is too close to 1 to be
            told from it.
    """
    if gap is None:
        gap = 1 - coefficient  # of a Python number in float64
    g = jnp.asarray(gap, jnp.result_type(float, gap))
    settles = (g > 0) & (g < 2)
    rule = '-1 < coefficient < 1: outside, the process does not come to rest'
    require('coefficient', 1 - gap, settles, rule)
    safe = jnp.where(settles, g, 1.0)
    if steps is None:
        return jnp.where(settles, (2 - safe) / safe, jnp.inf)
    require('steps', steps, jnp.asarray(steps) >= 1, 'a number of values >= 1')
    time = autocorrelation_sum(safe, jnp.asarray(steps, g.dtype))
    return jnp.where(settles, time, jnp.inf)


def effective_sample_size(coefficient: Any, steps: Any, gap: Any = None) -> Any:
    """T / tau: how many independent values say as much about the mean as `steps` values of an AR(1)
    process."""
    return steps / autocorrelation_time(coefficient, steps, gap)


def sde_coefficient(relaxation: Any, interval: Any) -> Any:
    """r of the AR(1) process that a linear SDE dx = -theta x dt + s dW is at times 0, dt, 2 dt, ...

        r = exp(-theta dt)

    exactly. SGD with rate gamma and curvature a follows it with theta dt = gamma a while gamma a <<
    1.

    Args:
        relaxation: theta > 0 [1 / time].
        interval: dt > 0 [time].
    """
    require('relaxation', relaxation, jnp.asarray(relaxation) > 0, 'a number > 0')
    require('interval', interval, jnp.asarray(interval) > 0, 'a number > 0')
    return jnp.exp(-jnp.asarray(relaxation) * interval)


def burn_in(radius: Any, tolerance: Any = 1e-3, gap: Any = None) -> Any:
    """Updates (or cycles) until a linear process has forgotten its start.

        T = log(tolerance) / log(radius)

    The mean decays at least like radius^T, its contribution to second moments like radius^2T. At
    critical damping a polynomial factor is added: choose the tolerance with room.

    Args:
        radius: spectral radius of one update (or cycle) of the slowest mode, in [0, 1).
        tolerance: what remains of the start, in (0, 1).
        gap: 1 - radius in (0, 1], in place of the radius (None): fixed_point(...).gap has more
            digits.
    """
    if gap is None:
        gap = 1 - as_numpy(radius)  # of a Python number in float64
    g = as_numpy(jnp.asarray(gap, jnp.result_type(float, gap)))
    require('radius', 1 - as_numpy(gap), (g > 0) & (g <= 1), '0 <= radius < 1')
    remainder = as_numpy(tolerance)
    is_fraction = (remainder > 0) & (remainder < 1)
    require('tolerance', tolerance, is_fraction, '0 < tolerance < 1')
    return _burn_in(g, tolerance)


@jax.jit
def _burn_in(g, tolerance):
    contracts = (g > 0) & (g <= 1)
    decay = -jnp.log1p(-jnp.where(contracts, g, 0.5))  # -log radius
    updates = jnp.ceil(-jnp.log(tolerance) * (1 / decay))
    return jnp.where(contracts, updates, jnp.inf)
