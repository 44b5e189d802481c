"""What a study hands to the report: plain data (names, numbers, text), and the interval it is drawn
with."""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp.errors import Refusal

RESAMPLES = 4000
SEED = 20200


class Series(NamedTuple):
    """One curve, cloud of points or band of a figure.

    Args:
        name: what the legend says.
        x, y: numbers of equal length; y may hold NaN (a gap).
        low, high: ends of the interval around y (lengths as y), or None.
        style: 'line' (with low and high: a line in its band), 'points' (with error bars) or 'band'
            (low and high alone).
        group: series of one group share a colour and one line of the legend; None: a group of its
            own.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    style: str = 'line'
    group: str | None = None


class Figure(NamedTuple):
    """Series on one pair of axes; `name` is the stem of its files, scales are 'linear' or 'log'.

    With `places`, x counts them, 0, 1, ..., and their names stand along the axis.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    x_scale: str = 'linear'
    y_scale: str = 'linear'
    caption: str = ''
    places: Sequence[str] = ()


class Table(NamedTuple):
    """Rows of text or numbers under `columns`."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence]
    caption: str = ''


class Claim(NamedTuple):
    """A paper's claim beside what was measured; `outcome` is one of OUTCOMES."""

    claim: str  # one line, with its source
    measured: str  # the effect with its interval
    outcome: str


OUTCOMES = REPRODUCED, NOT_REPRODUCED, UNDECIDED = (
    'reproduced',
    'not reproduced',
    'undecided at this budget',
)


class Analysis(NamedTuple):
    """A study's answer: one sentence (or ''), what it rests on, whether the claim held (None: no
    claim)."""

    title: str
    verdict: str
    tables: Sequence[Table]
    figures: Sequence[Figure]
    passed: bool | None = None
    claims: Sequence[Claim] = ()


def claim_interval(values: Sequence[float | None] | np.ndarray) -> tuple[float, float]:
    """(low, high) that a claim is judged by: those of `interval`, and none (NaN) below three
    values.

    The range of two values holds the median with probability 1/2, and two equal ones have none.
    """
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if len(finite) < 3:
        return math.nan, math.nan
    return interval(finite)[1:]


def above(ends: tuple[float, float], margin: float = 0.0) -> str:
    """What an interval (low, high) says of the claim 'the effect is above `margin`'. No interval
    (one seed): undecided."""
    # No interval is NaN, here and in the next two: no comparison with it holds.
    low, high = ends
    if low > margin:
        return REPRODUCED
    if high < margin:
        return NOT_REPRODUCED
    return UNDECIDED


def below(ends: tuple[float, float], margin: float = 0.0) -> str:
    """What an interval (low, high) says of the claim 'the effect is `margin` at most'. No interval
    (one seed): undecided."""
    low, high = ends
    if high <= margin:
        return REPRODUCED
    if low > margin:
        return NOT_REPRODUCED
    return UNDECIDED


def within(ends: tuple[float, float], margin: float) -> str:
    """What an interval (low, high) says of the claim 'the effect is no larger than `margin`': it
    must lie inside +-margin (equivalence).

    That an interval holds 0 is no evidence of equality. No interval (one seed): undecided.
    """
    low, high = ends
    if -margin <= low and high <= margin:
        return REPRODUCED
    if low > margin or high < -margin:
        return NOT_REPRODUCED
    return UNDECIDED


def format_interval(
    values: Sequence[float | None] | np.ndarray, digits: int = 3, confidence: float = 0.95
) -> str:
    """'median [low, high]' of `interval`, or the lone value with what it lacks."""
    median, low, high = interval(values, confidence)
    if math.isnan(median):
        return 'none'
    if math.isnan(low):
        return f'{median:.{digits}g} (one seed: no interval)'
    return f'{median:.{digits}g} [{low:.{digits}g}, {high:.{digits}g}]'


def interval(
    values: Sequence[float | None] | np.ndarray, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Median and a bootstrap confidence interval of the median: (median, low, high), floats.

    Bias-corrected and accelerated (BCa) where it is defined, else percentile; the resampling is
    seeded and the values are sorted first, so the answer depends on the set of values alone. Values
    that are None, NaN or infinite (diverged trials) are left out: say next to the number how many
    there were. What is left decides:

        0 values        (nan, nan, nan)
        1 value         (value, nan, nan): one run says nothing about the spread
        2 values        (mean, min, max): covers the median with probability 1/2 only
        all equal       (value, value, value)
        3 and more      bootstrap. It never leaves [min, max], which holds the median with
        probability 1 -
        2^(1 - n):
                        0.75 for 3 values, 0.94 for 5; below 6 values read it as a range, not as
                        `confidence`.

    Args:
        values: numbers, any order.
        confidence: probability in (0, 1).
    Raises:
        Refusal: `confidence` outside (0, 1).
    Source: Efron 1987, "Better bootstrap confidence intervals", JASA 82, eq. 6.8.
    """
    if not 0 < confidence < 1:
        raise Refusal(
            f'confidence is {confidence}, but is a probability in (0, 1): give 0.95, for example.'
        )
    numbers = np.array(list(values), dtype=np.float64)  # None becomes NaN
    # sorted: the resampling draws positions, and the answer must not depend on the order
    numbers = np.sort(numbers[np.isfinite(numbers)])
    if len(numbers) == 0:
        return math.nan, math.nan, math.nan
    median = float(np.median(numbers))
    if len(numbers) == 1:
        return median, math.nan, math.nan
    lowest, highest = float(numbers[0]), float(numbers[-1])
    if len(numbers) == 2 or lowest == highest:
        return median, lowest, highest
    low, high = _bootstrap(numbers, confidence)
    # Rounding in the interpolated quantiles can pass these bounds by an ulp.
    return median, max(lowest, min(low, median)), min(highest, max(high, median))


def _bootstrap(numbers, confidence):
    """BCa needs leave-one-out medians that differ; with ties in the middle the percentiles
    serve."""
    from scipy import stats

    for method in ('BCa', 'percentile'):
        with warnings.catch_warnings(), np.errstate(all='ignore'):
            warnings.simplefilter('ignore')
            ends = stats.bootstrap(
                (numbers,),
                np.median,
                confidence_level=confidence,
                method=method,
                n_resamples=RESAMPLES,
                vectorized=True,
                rng=np.random.default_rng(SEED),
            ).confidence_interval
        if np.isfinite(ends.low) and np.isfinite(ends.high):
            break
    return float(ends.low), float(ends.high)
