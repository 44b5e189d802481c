"""The points of a quasi-random search, and the space beyond the edges on which its best one lies.

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
    extension: int = 0  # how often the space had grown when it was drawn
    number: int = 0  # among the points of that search


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


def beyond(space: Space, sides: Mapping[str, str]) -> dict[str, tuple]:
    """By path, the range next to that of the space, on its `side`."""
    ranges = {}
    for path, side in sides.items():
        scale, low, high = space[path]
        # half as wide in the logarithm, so that points lie as densely as half the budget allows
        ratio = math.sqrt(high / low)
        if side == 'high':
            ranges[path] = (scale, high, high * ratio)
        else:
            ranges[path] = (scale, low / ratio, low)
    return ranges


def joined(space: Space, ranges: Space) -> dict[str, tuple]:
    """The space with the ranges next to it taken in."""
    whole = dict(space)
    for path, (scale, low, high) in ranges.items():
        _, lowest, highest = space[path]
        whole[path] = (scale, min(lowest, low), max(highest, high))
    return whole
