"""The points of a quasi-random search, and where it goes on: beyond the edge on which its best
point lies, or around that point.

A space is {path: (scale, low, high)}, as in lbexp.config.search.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lbexp.config.search import search

Space = Mapping[str, tuple]


class Point(NamedTuple):
    """One of the settings that an arm is tried at."""

    values: dict[str, Any]  # {path: value}
    extension: int = 0  # the round of the search that drew it: 0 the first
    number: int = 0  # among the points of that round
    fitted: float | None = None  # it is no tried one, but the vertex of a parabola through them


def shares(budget: int, extensions: int) -> list[int]:
    """Points of each round of a search, `budget` in all: half of them in the first round, the rest
    spread over `extensions` more; all at once where there are none. Rounds may be empty."""
    if not extensions:
        return [budget]
    rest = budget // 2
    counts = [budget - rest]
    for number in range(extensions):
        counts.append(rest // extensions + (number < rest % extensions))
    return counts


def points(space: Space, count: int, extension: int, first_seed: int) -> list[Point]:
    """Those of a search of its own: another seed for each extension."""
    settings = search(space, count, seed=first_seed + extension)
    return [Point(values, extension, number) for number, values in enumerate(settings)]


def edges(space: Space, tried: Sequence[Point], best: Point | None) -> dict[str, str]:
    """{path: 'low' or 'high'} of the logarithmic dimensions in which the best point is the
    outermost tried."""
    sides = {}
    if best is None:
        return sides
    for path, (scale, *_) in space.items():
        values = [point.values[path] for point in tried]
        lowest, highest = min(values), max(values)
        # where all have one value, neither side says where to look
        if scale != 'log' or lowest == highest:
            continue
        if best.values[path] == lowest:
            sides[path] = 'low'
        elif best.values[path] == highest:
            sides[path] = 'high'
    return sides


def onward(space: Space, tried: Sequence[Point], best: Point | None) -> dict[str, tuple]:
    """The space that the next round of a search is drawn from.

    Where the best point is the outermost tried, from there outward, over half the width of the
    space (in the logarithm); else around the best point. Where no point has a score the space
    itself, once more.
    """
    if best is None:
        return dict(space)
    sides = edges(space, tried, best)
    if not sides:
        return {path: _around(axis, path, space, tried, best) for path, axis in space.items()}
    ranges = dict(space)
    for path, side in sides.items():
        scale, low, high = space[path]
        outermost, ratio = best.values[path], math.sqrt(high / low)
        if side == 'high':
            ranges[path] = (scale, outermost, outermost * ratio)
        else:
            ranges[path] = (scale, outermost / ratio, outermost)
    return ranges


def _around(axis, path, space, tried, best):
    """Of one number between the neighbours of the best point; of several, as far to either side as
    points lie apart on average."""
    scale, low, high = axis
    middle = best.values[path]
    if len(space) == 1:
        values = [point.values[path] for point in tried]
        below = [value for value in values if value < middle]
        above = [value for value in values if value > middle]
        return scale, max(below, default=low), min(above, default=high)
    share = len(tried) ** (-1 / len(space))
    if scale == 'log':
        ratio = (high / low) ** share
        return scale, max(low, middle / ratio), min(high, middle * ratio)
    reach = (high - low) * share
    if scale == 'whole':
        reach = round(reach)
    return scale, max(low, middle - reach), min(high, middle + reach)


def joined(space: Space, ranges: Space) -> dict[str, tuple]:
    """The smallest space that holds both."""
    whole = dict(space)
    for path, (scale, low, high) in ranges.items():
        _, lowest, highest = space[path]
        whole[path] = (scale, min(lowest, low), max(highest, high))
    return whole
