"""A ratio of two means with an interval that is honest where the denominator may be 0."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from lbexp.shapes import Flag, Scalar


class Ratio(NamedTuple):
    """numerator / denominator, and which ratios the data allow.

    Where it is resolved they are low .. high. Where it is not, the denominator may be 0: high is
    inf, and the ratio is 'at least low'; with low = -inf the data allow any ratio.
    """

    value: Scalar  # the ratio of the means; means little where it is not resolved
    low: Scalar
    high: Scalar
    resolved: Flag  # the denominator is told from 0


def fieller(
    numerator: Any,
    denominator: Any,
    variances: tuple[Any, Any],
    covariance: Any,
    quantile: Any,
) -> Ratio:
    """The ratios B with (s - B g)^2 <= t^2 (V_s - 2 B V_sg + B^2 V_g) (Fieller 1954, "Some problems
    in interval estimation", J. R. Stat. Soc. B 16(2)).

        a B^2 - 2 b B + c <= 0,  a = g^2 - t^2 V_g,  b = s g - t^2 V_sg,  c = s^2 - t^2 V_s

    For a > 0 an interval. For a <= 0 the denominator may be 0, and the ratios allowed are all but
    those between the roots, or all: of a positive numerator "at least the larger root".

    Args:
        numerator, denominator: estimates s and g.
        variances: V_s and V_g of those estimates.
        covariance: V_sg.
        quantile: t, of Student's distribution, two-sided.
    """
    squared = quantile**2
    a = denominator**2 - squared * variances[1]
    b = numerator * denominator - squared * covariance
    c = numerator**2 - squared * variances[0]
    root = jnp.sqrt(jnp.maximum(b * b - a * c, 0))
    resolved = a > 0
    has_roots = b * b - a * c > 0
    over = 1 / jnp.where(a == 0, 1, a)
    first, second = (b - root) * over, (b + root) * over
    # With a < 0 and c > 0 the roots have two signs, and ratios of the numerator's sign are beyond.
    bounded_below = has_roots & (c > 0) & (numerator > 0)
    beyond = jnp.where(a == 0, c / jnp.where(b > 0, 2 * b, 1), jnp.maximum(first, second))
    low = jnp.where(resolved, first, jnp.where(bounded_below, beyond, -jnp.inf))
    high = jnp.where(resolved, second, jnp.inf)
    value = numerator / jnp.where(denominator == 0, jnp.nan, denominator)
    return Ratio(value, low, high, resolved)
