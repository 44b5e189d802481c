"""Closed forms: the stationary variance of the weights for SGD, momentum, Nesterov, EMA and tail
averages."""

from typing import Any

import jax.numpy as jnp

from lbexp.theory.geometric import autocorrelation_sum
from lbexp.theory.limits import learning_rate_limit, require


def stationary_variance(
    learning_rate: Any, curvature: Any, noise: Any, momentum: Any = 0.0, nesterov: bool = False
) -> Any:
    """V* of the weights of SGD (momentum 0), heavy ball or Nesterov on 1/2 a (x - c)^2.

    With h = rate a and v = sigma^2 / B:

        SGD          V* = h v / (2 - h)
        heavy ball   V* = h v (1 + beta) / ((1 - beta) (2 (1 + beta) - h))
        Nesterov     V* = h v ((1 + D) ((1 + beta)^2 + beta^2) - 2 T beta (1 + beta))
                          / ((1 - D) (2 (1 + beta) - (1 + 2 beta) h)),   T = (1 + beta)(1 - h), D =
                          beta (1 - h)

    Eliminating the buffer, x_{t+1} = T x_t - D x_{t-1} + h (c0 xi_t + c1 xi_{t-1}): an ARMA(2, 1),
    with T, D the trace and determinant of one step and c0 = 1, c1 = 0 (heavy ball), c0 = 1 + beta,
    c1 = -beta (Nesterov). Its Yule-Walker equations give

        V* = h^2 v ((1 + D)(c0^2 + c1^2) + 2 T c0 c1) / ((1 - D)((1 + D)^2 - T^2)),

    and (1 + D)^2 - T^2 = h (2 (1 + beta) - h) for heavy ball, h (2 (1 + beta) - (1 + 2 beta) h) for
    Nesterov. There the numerator multiplied out is (1 + beta) + beta (1 + 2 beta) h, and 1 - D = (1
    - beta) + beta h: nothing cancels.

    Args:
        learning_rate: rate, 0 < rate < limits.learning_rate_limit(a, beta, nesterov).
        curvature: a > 0.
        noise: v >= 0, variance of the mean target of one update.
        momentum: beta in [0, 1).

    Numbers or arrays that broadcast. Outside the limits: ValueError, or inf where numbers are
    traced.
    """
    stable = _stable(learning_rate, curvature, noise, momentum, nesterov)
    beta = jnp.asarray(momentum)
    h = jnp.asarray(learning_rate) * curvature
    friction = jnp.asarray(1 - momentum)  # of a Python number in float64
    # (2 - h) + 2 beta, exact at the limit, where 2 (1 + beta) - h is not.
    to_limit = (2 - h) + 2 * beta
    numerator, denominator = 1 + beta, friction * to_limit
    if nesterov:
        numerator = (1 + beta) + beta * (1 + 2 * beta) * h
        to_limit = (2 - h) + 2 * beta * (1 - h)  # 2 (1 + beta) - (1 + 2 beta) h, as exact
        denominator = (friction + beta * h) * to_limit
    variance = h * noise * numerator / jnp.where(stable, denominator, 1.0)
    return jnp.where(stable, variance, jnp.inf)


def heavy_ball_covariance(
    learning_rate: Any, curvature: Any, noise: Any, momentum: Any
) -> tuple[Any, Any, Any]:
    """(E x^2, E x m, E m^2) of heavy ball at rest, m the buffer: x <- x - rate m.

        E x m = -a V* / (1 + beta),   E m^2 = 2 a V* / (rate (1 + beta))

    m_t = (x_{t-1} - x_t) / rate, and the lag-1 autocovariance of the AR(2) process x is
    (1 + beta - h) / (1 + beta) V*, so E m^2 = 2 (V* - C_1) / rate^2 and E x m = (C_1 - V*) / rate.
    Arguments and limits as in stationary_variance.
    """
    variance = stationary_variance(learning_rate, curvature, noise, momentum)
    cross = curvature * variance / (1 + jnp.asarray(momentum))  # -E x m
    buffer_variance = 2 * cross / learning_rate
    return variance, -cross, buffer_variance


def ema_variance(learning_rate: Any, curvature: Any, noise: Any, decay: Any) -> Any:
    """V* of the exponential moving average y <- d y + (1 - d) x of SGD's weights.

        V*_EMA = V*_SGD (1 - d) / (1 + d) * (1 + r d) / (1 - r d),    r = 1 - rate a

    y_t = (1 - d) sum_j d^j x_{t-j} and E x_t x_{t-j} = r^j V*: the double sum is
    (1 - d)^2 / (1 - d^2) * (1 + 2 r d / (1 - r d)).

    Args:
        decay: d in [0, 1). The others as in stationary_variance.
    """
    d = jnp.asarray(decay)
    gap = jnp.asarray(1 - decay)  # of a Python number in float64
    require('decay', decay, (d >= 0) & (gap > 0), '0 <= decay < 1')
    variance = stationary_variance(learning_rate, curvature, noise)
    unstable = jnp.isinf(variance)
    h = jnp.where(unstable, 1.0, jnp.asarray(learning_rate) * curvature)
    # 1 + r d = (1 - d) + (2 - h) d and 1 - r d = (1 - d) + h d.
    ratio = gap / (1 + d) * (gap + (2 - h) * d) / (gap + h * d)
    finite = jnp.where(unstable, 1.0, variance)
    return jnp.where(unstable, jnp.inf, finite * ratio)


def tail_variance(learning_rate: Any, curvature: Any, noise: Any, steps: Any) -> Any:
    """Variance of the plain average of SGD's weights over `steps` updates at rest.

        V*_SGD / T * ((1 + r) / (1 - r) - 2 r (1 - r^T) / (T (1 - r)^2)),    r = 1 - rate a

    The sum over lags of (T - |j|) r^|j| / T^2; for T >> 1 / (1 - r) it is V* (1 + r) / ((1 - r) T)
    = v / T: an average forgets the learning rate.

    Args:
        steps: T >= 1 [updates]. The others as in stationary_variance.
    """
    steps = jnp.asarray(steps)
    require('steps', steps, steps >= 1, 'a number of updates >= 1')
    variance = stationary_variance(learning_rate, curvature, noise)
    unstable = jnp.isinf(variance)
    h = jnp.where(unstable, 1.0, jnp.asarray(learning_rate) * curvature)
    time = autocorrelation_sum(h, jnp.asarray(steps, h.dtype))
    finite = jnp.where(unstable, 1.0, variance)
    return jnp.where(unstable, jnp.inf, finite * (time / steps))


def _stable(learning_rate, curvature, noise, momentum, nesterov):
    rate, a, v, beta = map(jnp.asarray, (learning_rate, curvature, noise, momentum))
    require('curvature', a, a > 0, 'a number > 0: a flat or concave coordinate has no fixed point')
    require('noise', v, v >= 0, 'a variance >= 0')
    below_1 = jnp.asarray(1 - momentum) > 0
    require('momentum', momentum, (beta >= 0) & below_1, '0 <= momentum < 1')
    limit = learning_rate_limit(a, beta, nesterov)
    stable = (rate > 0) & (rate < limit)
    bound = '2 (1 + momentum)'
    if nesterov:
        bound += ' / (1 + 2 momentum)'
    rule = f'0 < learning_rate * curvature < {bound}: lower the learning rate'
    require('learning_rate * curvature', rate * a, stable, rule)
    return stable & (a > 0) & (v >= 0) & (beta >= 0) & below_1
