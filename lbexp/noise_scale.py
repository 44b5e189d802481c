"""How noisy gradients are, without bias, from gradients of groups of examples; and Fieller's
interval of a ratio of means, in a compiled program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from lbexp.shapes import Flag, Scalar, TwoByTwo


class RatioInterval(NamedTuple):
    """The ratios that a test does not reject."""

    low: Scalar
    high: Scalar  # inf where they have no end
    is_bounded: Flag  # the denominator is not 0 by Student's test


def trace(of_groups: jax.Array, of_mean: jax.Array, size: int, count: jax.Array | int) -> jax.Array:
    """Unbiased estimate of tr Sigma, Sigma the covariance of one example's gradient:

        S = b / (K - 1) sum_i |g_i - mean g|^2 = (mean_i |g_i|^2 - |mean g|^2) b K / (K - 1)

    Of Gaussian gradients Var S = 2 tr(Sigma^2) / (K - 1). |.|^2 may be any sum of squares, such as
    that of one layer.

    Args:
        of_groups: mean_i |g_i|^2 over K groups of b examples each, any shape.
        of_mean: |mean_i g_i|^2, likewise.
        size: b >= 1 [examples].
        count: K >= 2; may be traced.

    Source: McCandlish et al. 2018, arXiv:1812.06162, Appendix A.1, for K groups.
    """
    # A reciprocal: programs would round a quotient by a traced number differently.
    factor = size * count * (1 / (count - 1))
    return (of_groups - of_mean) * factor


def square(of_mean: jax.Array, trace: jax.Array, batch_size: jax.Array | int) -> jax.Array:
    """Unbiased estimate of |G|^2, G the mean gradient: |mean g|^2 - S / M.

    It is negative where noise hides the gradient: only means over many updates tell, and of values
    that are not clipped. Of Gaussian gradients

        Var gamma = 2 tr(Sigma^2) / M^2 K / (K - 1) + 4 G^T Sigma G / M

    Args:
        of_mean: |mean g|^2, any shape.
        trace: S.
        batch_size: M = K b [examples]; may be traced.

    Source: as `trace`.
    """
    return of_mean - trace * (1 / batch_size)


def ratio_interval(means: jax.Array, covariance: TwoByTwo, quantile: jax.Array) -> RatioInterval:
    """Fieller's interval of a ratio of two means, x / y >= 0: the ratios r with

        (x - r y)^2 <= t^2 (V_x - 2 r V_xy + r^2 V_y)

    Where y may be 0 by Student's test they have no end: [low, inf), and low is 0 where x may be 0,
    too. Where y < 0 is significant, which chance does, both ends are negative. It holds the truth
    as often as it says, also where y is hardly resolved, as the delta method does not.

    Args:
        means: x, y [2].
        covariance: of the two means.
        quantile: t, of Student's distribution; NaN: no interval.

    Source: Fieller 1954, "Some problems in interval estimation", J. R. Stat. Soc. B 16(2).
    """
    x, y = means
    squared = quantile**2
    a = y * y - squared * covariance[1, 1]
    b = x * y - squared * covariance[0, 1]
    c = x * x - squared * covariance[0, 0]
    half = jnp.sqrt(jnp.maximum(b * b - a * c, 0))
    # a r^2 - 2 b r + c = 0, without cancellation: the roots are q / a and c / q
    q = b + jnp.where(b >= 0, half, -half)
    is_bounded = a > 0
    roots = jnp.stack([_quotient(q, a), _quotient(c, q)])
    bounded_low = jnp.where(y > 0, jnp.maximum(jnp.min(roots), 0), jnp.min(roots))
    # with a <= 0 < c one root is positive; where there is none, nothing is excluded
    open_low = jnp.where(c > 0, jnp.max(roots), 0)
    low = jnp.where(is_bounded, bounded_low, open_low)
    high = jnp.where(is_bounded, jnp.max(roots), jnp.inf)
    is_known = jnp.isfinite(quantile)
    return RatioInterval(
        jnp.where(is_known, low, jnp.nan), jnp.where(is_known, high, jnp.nan), is_bounded
    )


def _quotient(numerator, denominator):
    """-inf where the denominator is 0: the root that a line has not."""
    is_zero = denominator == 0
    return jnp.where(is_zero, -jnp.inf, numerator / jnp.where(is_zero, 1, denominator))
