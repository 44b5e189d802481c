"""What a study hands to the report: plain data (names, numbers, text), and the interval it is drawn
with."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lbexp import inference

_HUGE = 1e300  # beyond every effect; two of them can be added up


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
        value: a number that the series is of, such as its learning rate: its colour on a continuous
            scale; None: colours tell groups apart.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    style: str = 'line'
    group: str | None = None
    value: float | None = None


class Figure(NamedTuple):
    """Series on one pair of axes; `name` is the stem of its files, scales are 'linear' or 'log'.

    With `places`, x counts them, 0, 1, ..., and their names stand along the axis. With
    `colour_label` a colour bar says what the series' `value` is, in place of a legend.
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
    colour_label: str = ''


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
    # two-sided, of the claim's boundary, by sign flips (lbexp.inference); NaN: nothing was drawn
    p_value: float = math.nan
    # what the paper measured, in which setting, and its number; '': it was not looked up
    paper: str = ''
    # what the interval is drawn over, NaN where a trial diverged: `contrast[0]`, a metric, of the
    # arm contrast[1] less that of the arm contrast[2]; None: they are of another kind
    effects: tuple[float, ...] = ()
    contrast: tuple[str, str, str] | None = None
    rule: str = ''  # by which the effects were judged: a name of RULES; '': by none
    margin: float = 0.0  # of that


# Under-trained: a claim on generalization of a network that does not fit its training set as well
# as the one that it is compared with.
OUTCOMES = REPRODUCED, NOT_REPRODUCED, UNDECIDED, UNDER_TRAINED = (
    'reproduced',
    'not reproduced',
    'undecided at this budget',
    'under-trained',
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


def judged(
    claim: str,
    measured: str,
    test: Callable[[tuple[float, float], float], str],
    effects: Sequence[float | None] | np.ndarray,
    margin: float = 0.0,
    contrast: tuple[str, str, str] | None = None,
    lacking: str = 'diverged',
) -> Claim:
    """The claim with its outcome, by the interval of the effects' median.

    Args:
        claim, measured: as in Claim; what the effects lack is added to `measured`.
        test: `above`, `below` or `within`.
        effects: one of each independent draw (a pair of seeds, a tuning); NaN or None where a trial
            diverged. Such a draw counts as whatever is worst for a decision.
        margin: of the test.
        contrast: metric, arm and other arm, where the effects are differences of two arms. Such a
            claim of a comparison has to stand the grid of its tuning and its test set, too.
        lacking: what is said of draws without an effect.
    """
    numbers = np.array(list(effects), np.float64)  # None becomes NaN
    lost = int(np.sum(~np.isfinite(numbers)))
    if lost:
        measured += f'; {lost} of {len(numbers)} {lacking}'
    if len(numbers) < inference.LEAST_PAIRS:
        measured += f'; {len(numbers)} pairs decide nothing, {inference.LEAST_PAIRS} may'
    boundaries = (margin, -margin) if test is within else (margin,)
    p_value = math.nan
    if not lost and len(numbers):
        p_value = max(inference.sign_flip(numbers - boundary) for boundary in boundaries)
    return Claim(
        claim,
        measured,
        test(claim_interval(numbers), margin),
        p_value,
        effects=tuple(numbers.tolist()),
        contrast=contrast,
        rule=test.__name__,
        margin=margin,
    )


def claim_interval(
    effects: Sequence[float | None] | np.ndarray, confidence: float = 0.95
) -> tuple[float, float]:
    """(low, high) that a claim is judged by: the exact interval of the median
    (`inference.median_interval`), and none (NaN) of too few effects, below six at 95 %.

    An effect that is NaN or None may be anything: the interval is that of all its values, and
    reaches to infinity where these decide an end.
    """
    numbers = np.array(list(effects), np.float64)
    lost = ~np.isfinite(numbers)
    _, low, _ = inference.median_interval(np.where(lost, -_HUGE, numbers), confidence)
    _, _, high = inference.median_interval(np.where(lost, _HUGE, numbers), confidence)
    # also an end between a number and such a value
    if low < -_HUGE / 4:
        low = -math.inf
    if high > _HUGE / 4:
        high = math.inf
    return low, high


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


RULES = {'above': above, 'below': below, 'within': within}


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
    """Median with the ends of an error bar: (median, low, high), floats.

    The exact confidence interval of the median between two order statistics
    (`inference.median_interval`) where there are values enough: 6 for 95 %. Values that are None,
    NaN or infinite (diverged trials) are left out: say next to the number how many there were. What
    is left decides:

        0 values        (nan, nan, nan)
        1 value         (value, nan, nan): one run says nothing about the spread
        2 to 5 values   (median, min, max): the range, which holds the median with probability
                        1 - 2^(1 - n): 0.5, 0.75, 0.875, 0.94
        6 and more      the interval, which holds it with at least `confidence`

    Args:
        values: numbers, any order.
        confidence: probability in (0, 1).
    Raises:
        Refusal: `confidence` outside (0, 1).
    """
    median, low, high = inference.median_interval(values, confidence)
    numbers = inference.finite(values)
    if math.isnan(low) and len(numbers) > 1:
        low, high = float(numbers[0]), float(numbers[-1])
    return median, low, high
