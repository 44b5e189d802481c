"""Powers and sums of r = 1 - g, given g: exact to rounding however close r is to 1 or to -1."""

from typing import Any

import jax.numpy as jnp


def power(gap: Any, count: Any) -> Any:
    """r^n for g in (0, 2) and whole n >= 0."""
    negative, log_size, moderate = _parts(gap, count)
    sign = jnp.where(negative, -1.0, 1.0)
    return jnp.where(_is_moderate(gap), moderate, sign * jnp.exp(log_size))


def complement(gap: Any, count: Any) -> Any:
    """1 - r^n, without the cancellation at r^n close to 1."""
    negative, log_size, moderate = _parts(gap, count)
    # of a negative r^n a sum of two positive numbers
    extreme = jnp.where(negative, 1 + jnp.exp(log_size), -jnp.expm1(log_size))
    return jnp.where(_is_moderate(gap), 1 - moderate, extreme)


def supplement(gap: Any, count: Any) -> Any:
    """1 + r^n, without the cancellation at r^n close to -1: an odd n, g close to 2."""
    negative, log_size, moderate = _parts(gap, count)
    extreme = jnp.where(negative, -jnp.expm1(log_size), 1 + jnp.exp(log_size))
    return jnp.where(_is_moderate(gap), 1 + moderate, extreme)


def autocorrelation_sum(gap: Any, count: Any) -> Any:
    """sum over |j| < T of (1 - |j| / T) r^|j|: T times the variance of a mean of T values with
    correlations r^|j|.

        (1 + r) / (1 - r) - 2 r (1 - r^T) / (T (1 - r)^2)

    computed so for g >= 1/2, where nothing cancels. Below, with r = e^-l and x = T l, it is

        (T (sinh l - l) + x - 1 + e^-x) / (2 T sinh(l / 2)^2),    2 sinh(l / 2)^2 = g^2 / (2 r),

    as (1 + r) / (1 - r) = sinh l / (2 sinh(l / 2)^2): sums of positive terms, each by its series
    where it is small.
    """
    g, total = jnp.asarray(gap), jnp.asarray(count)
    is_slow = g < 0.5
    # Each branch gets a number that suits it where the other is chosen, so that neither is NaN.
    slow = jnp.where(is_slow, g, 0.25)
    decay = -jnp.log1p(-slow)  # l
    # the bracket over l^2, by the remainders of the two series
    terms = decay * _sinh_remainder(decay) + total * _exp_remainder(total * decay)
    below = 2 * (1 - slow) * (decay / slow) ** 2 * terms
    fast = jnp.where(is_slow, 1.0, g)
    limit = (2 - fast) / fast
    above = limit - 2 * (1 - fast) * complement(fast, total) / (total * fast**2)
    return jnp.where(is_slow, below, above)


def mean_complement(gap: Any, count: Any) -> Any:
    """Mean of 1 - r^j over j = 0 .. n - 1, for g in (0, 1]: 1 - (1 - r^n) / (n g).

    For n g < 1 the binomial series of n g - 1 + (1 - g)^n, over n g:
    (n - 1) g / 2 (1 - (n - 2) g / 3 (1 - (n - 3) g / 4 (...))), which ends by itself for small n.
    """
    g = jnp.asarray(gap)
    n = jnp.asarray(count, jnp.result_type(float, gap))
    small = n * g < 1
    slow = jnp.where(small, g, 0.0)
    # Horner's scheme, from the innermost bracket outwards.
    series = jnp.ones_like(slow * n)
    for j in range(20, 1, -1):
        series = 1 - jnp.maximum(n - j, 0) * slow / (j + 1) * series
    direct = 1 - complement(g, n) / (n * g)
    return jnp.where(small, (n - 1) * slow / 2 * series, direct)


def _is_moderate(gap):
    """|r| <= 1/2: powers as they are."""
    return jnp.abs(1 - jnp.asarray(gap)) <= 0.5


def _parts(gap, count):
    """(r^n < 0, log |r^n|, r^n where |r| <= 1/2)."""
    g, n = jnp.asarray(gap), jnp.asarray(count)
    moderate = _is_moderate(g)
    below = ~moderate & (g < 1)
    above = ~moderate & (g > 1)
    # 1 - g with |r| = 1 - (2 - g) above 1, where 2 - g has all the digits of g.
    from_above = jnp.where(above, 2 - g, 0.5)
    distance = jnp.where(below, g, from_above)
    log_size = n * jnp.log1p(-distance)
    negative = above & (n % 2 == 1)
    base = jnp.where(moderate, 1 - g, 0.5)
    return negative, log_size, base**n


def _sinh_remainder(x):
    """(sinh x - x) / x^3 for 0 <= x < 1."""
    # Horner's scheme again, of x^(2j - 2) / (2j + 1)!
    series = jnp.ones_like(x)
    for j in range(8, 1, -1):
        series = 1 + x**2 / (2 * j * (2 * j + 1)) * series
    return series / 6


def _exp_remainder(x):
    """(x - 1 + e^-x) / x^2 for x >= 0; where x is small 2 (sinh(x / 2) / x)^2 - (sinh x - x) /
    x^2."""
    small = x < 1
    nonzero = jnp.maximum(x, jnp.finfo(x.dtype).tiny)
    low = jnp.where(small, nonzero, 0.5)
    high = jnp.where(small, 1.0, x)
    below = 2 * (jnp.sinh(low / 2) / low) ** 2 - low * _sinh_remainder(low)
    above = (high + jnp.expm1(-high)) / high / high
    return jnp.where(small, below, above)
