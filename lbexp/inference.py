"""What values measured over seeds, or over tunings, say of an effect.

The unit that is counted is the one that was drawn independently: a seed where nothing was chosen,
a whole tuning (points searched, best one picked, run again with fresh seeds) where something was.

`mean_interval` is what claims are judged by, `sign_flip` and `holm` stand beside it,
`ratio_interval` is for shares and speed-ups, `median_interval` for values with tails.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp.errors import Refusal

Values = Sequence[float | None] | np.ndarray

# Below six pairs no two-sided test of signs reaches 5 percent: 2 / 2^5 = 0.0625.
LEAST_PAIRS = 6
_EXHAUSTIVE = 14  # pairs up to which every assignment of signs is counted
_DRAWS, _SEED = 20_000, 20200


class Interval(NamedTuple):
    """An estimate with its confidence interval; NaN where there is none."""

    value: float
    low: float
    high: float


def finite(values: Values) -> np.ndarray:
    """Those of the values that are numbers, float64, sorted: what follows depends on the set
    alone."""
    if not isinstance(values, np.ndarray) or values.dtype.hasobject:
        values = [np.nan if value is None else value for value in values]
    numbers = np.asarray(values, np.float64)
    return np.sort(numbers[np.isfinite(numbers)])


def mean_interval(values: Values, confidence: float = 0.95) -> Interval:
    """Mean and Student's interval:

        mean +- t(n - 1, (1 + confidence) / 2) s / sqrt(n)

    Exact for independent normal values, whatever their number; with n = 2 it is honest and useless
    (t = 12.7). Values that are None, NaN or infinite are left out: say beside it how many.

    Args:
        values: independent draws, any order.
        confidence: probability in (0, 1).
    Returns:
        Ends are NaN below two values.
    Raises:
        Refusal: `confidence` outside (0, 1).
    Source: Student 1908, "The probable error of a mean", Biometrika 6(1).
    """
    require_probability(confidence)
    numbers = finite(values)
    count = len(numbers)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(numbers.mean())
    if count == 1:
        return Interval(mean, math.nan, math.nan)
    margin = student(count - 1, confidence) * float(numbers.std(ddof=1)) / math.sqrt(count)
    return Interval(mean, mean - margin, mean + margin)


def median_interval(values: Values, confidence: float = 0.95) -> Interval:
    """Median and the exact interval between two order statistics:

        [x_(k), x_(n + 1 - k)],  k the largest with  P(Binomial(n, 1/2) < k) <= (1 - confidence) / 2

    It holds the median with at least the probability `confidence`, for every continuous
    distribution: 0.969 at n = 6, 0.979 at 10, 0.959 at 20.

    Returns:
        Ends are NaN where even the range does not suffice: below 6 values at 0.95.
    Raises:
        Refusal: `confidence` outside (0, 1).
    Source: Thompson 1936, "On confidence ranges for the median", Ann. Math. Statist. 7(3).
    """
    require_probability(confidence)
    numbers = finite(values)
    count = len(numbers)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan)
    k = order_statistic(count, confidence)
    median = _middle(numbers)
    if k == 0:
        return Interval(median, math.nan, math.nan)
    return Interval(median, float(numbers[k - 1]), float(numbers[count - k]))


def _middle(ordered):
    """The median of sorted numbers, without the checks of np.median: a report has thousands."""
    count = len(ordered)
    if count % 2:
        return float(ordered[count // 2])
    return float(ordered[count // 2 - 1] + ordered[count // 2]) / 2


@functools.cache
def order_statistic(count: int, confidence: float = 0.95) -> int:
    """The k of `median_interval`, counted from 1: the largest order statistic of `count` values at
    which the interval may begin; 0: none."""
    below, ways, k = 0, 1, 0  # of 2^count sequences of signs those with fewer than k, and with k
    limit = (1 - confidence) / 2
    while k < count:
        below += ways
        if below / 2**count > limit:
            break
        ways = ways * (count - k) // (k + 1)
        k += 1
    return k


def ratio_interval(numerators: Values, denominators: Values, confidence: float = 0.95) -> Interval:
    """Ratio of the means of paired values, with Fieller's interval: the ratios r for which
    mean(numerator - r denominator) may be 0 by Student's test.

    Args:
        numerators, denominators: of equal length; a pair with a value that is no number is left
            out.
        confidence: probability in (0, 1).
    Returns:
        Ends are NaN below two pairs, and where the mean denominator may be 0: such a ratio is not
        bounded. A ratio of intervals, or a mean of ratios, would hide that.
    Raises:
        Refusal: `confidence` outside (0, 1).
    Source: Fieller 1954, "Some problems in interval estimation", J. R. Stat. Soc. B 16(2).
    """
    require_probability(confidence)
    pairs = np.array([numerators, denominators], np.float64)
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    count = pairs.shape[1]
    if count == 0:
        return Interval(math.nan, math.nan, math.nan)
    top, bottom = pairs.mean(axis=1)
    ratio = float(top / bottom) if bottom else math.nan
    if count == 1:
        return Interval(ratio, math.nan, math.nan)
    (top_variance, covariance), (_, bottom_variance) = np.cov(pairs) / count
    squared = student(count - 1, confidence) ** 2
    # (top - r bottom)^2 <= t^2 Var(top - r bottom), a quadratic in r: a r^2 - 2 b r + c <= 0
    a = bottom**2 - squared * bottom_variance
    b = top * bottom - squared * covariance
    c = top**2 - squared * top_variance
    if a <= 0:
        return Interval(ratio, math.nan, math.nan)
    half = math.sqrt(max(b * b - a * c, 0.0))
    return Interval(ratio, float((b - half) / a), float((b + half) / a))


def sign_flip(differences: Values) -> float:
    """Two-sided p-value of 'the differences are symmetric about 0': the share of the assignments of
    signs whose mean is at least as far from 0.

    Every assignment is counted up to 14 differences; above, 20,000 seeded draws, and the
    differences as they are. Its least value is 2^(1 - n): fewer than 6 differences decide nothing
    at 5 percent.

    Returns:
        NaN without a difference; 1 where all are 0.
    Source: Fisher 1935, "The Design of Experiments", section 21.
    """
    numbers = finite(differences)
    count = len(numbers)
    if count == 0:
        return math.nan
    if count <= _EXHAUSTIVE:
        bits = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        signs = 1 - 2 * bits
    else:
        drawn = np.random.default_rng(_SEED).integers(2, size=(_DRAWS, count))
        signs = np.concatenate([np.ones((1, count), int), 1 - 2 * drawn])
    sums = np.abs(signs @ numbers)
    # Sums that are equal in exact arithmetic differ by rounding; they count.
    slack = 1e-12 * np.abs(numbers).sum()
    return float(np.mean(sums >= abs(numbers.sum()) - slack))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for their number: that any true hypothesis is rejected at level a has at
    most the probability a.

        adjusted_(i) = max over j <= i of min(1, (n - j + 1) p_(j)),  p_(1) <= ... <= p_(n)

    A NaN (nothing to test) stays one and does not count.
    Source: Holm 1979, "A simple sequentially rejective multiple test procedure", Scand. J.
    Statist. 6(2).
    """
    adjusted = [math.nan] * len(p_values)
    tested = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = largest
    return adjusted


def require_probability(confidence: float) -> None:
    """Raises Refusal where the confidence of an interval is no probability in (0, 1)."""
    if not 0 < confidence < 1:
        raise Refusal(
            f'confidence is {confidence}, but is a probability in (0, 1): give 0.95, for example.'
        )


def student(freedom: float, confidence: float) -> float:
    """Two-sided quantile of Student's t: |t| stays below it with probability `confidence`."""
    # scipy.stats takes half a second to import; its special functions do not
    from scipy import special

    return float(special.stdtrit(freedom, (1 + confidence) / 2))
