"""The batch size up to which branches of one run do as well as the smallest, and what is known of
it where it lies between or beyond those that were tried."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Range(NamedTuple):
    """Where a number lies; equal ends: it is known. NaN: nothing is."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """Of a range of numbers > 0, in the logarithm; its low end where it has no other."""
        if math.isinf(self.high):
            return self.low
        return math.sqrt(self.low * self.high)


UNKNOWN = Range(math.nan, math.nan)


def critical_batch(sizes: Sequence[float], losses: Sequence[float], allowed: float) -> Range:
    """The largest batch size whose loss, and that of all smaller ones, is at most `allowed` higher
    than that of the smallest [examples].

    Between the last branch that is within and the first beyond, it is where the line through their
    losses, in the logarithm of the batch size, meets what is allowed. Where the first one beyond
    diverged, it is between the two; where none is beyond, it is the largest size or more.

    Args:
        sizes: ascending, > 0.
        losses: at equal examples; inf: diverged, NaN: not there.
        allowed: >= 0.
    """
    if not math.isfinite(losses[0]) or np.isnan(losses).any():
        return UNKNOWN
    excess = np.asarray(losses, np.float64) - losses[0]
    beyond = np.flatnonzero(excess > allowed)
    if not len(beyond):
        return Range(float(sizes[-1]), math.inf)
    first = int(beyond[0])
    below, above = float(sizes[first - 1]), float(sizes[first])
    if math.isinf(excess[first]):
        return Range(below, above)
    share = (allowed - excess[first - 1]) / (excess[first] - excess[first - 1])
    size = below * (above / below) ** float(share)
    return Range(size, size)


def log_ratio(numerator: Range, denominator: Range) -> Range:
    """Of numbers > 0."""
    return Range(
        _log(numerator.low) - _log(denominator.high), _log(numerator.high) - _log(denominator.low)
    )


def decided(value: Range, *boundaries: float) -> float:
    """A number that is on the same side of each boundary as every one of the range: its end nearer
    to 0. NaN where there is none."""
    if any(value.low < boundary < value.high for boundary in boundaries):
        return math.nan
    return min(value, key=abs)


def _log(number):
    if math.isinf(number) or math.isnan(number):
        return number
    return math.log(number)
