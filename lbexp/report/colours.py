"""Colours of the groups of a figure: hues that tell them apart, or places on a scale of numbers."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lbexp.analysis import Figure, Series

# Okabe and Ito 2008: told apart with any colour vision, and dark enough on white, light enough on
# black.
PALETTE = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#D55E00', '#56B4E9')
# Four more, for as many things that have no order: of Tol's muted ones (Tol 2021), and grey.
CATEGORIES = (*PALETTE, '#882255', '#999933', '#6655aa', '#888888')
# More groups than that, and more ordered ones than the palette has (batch sizes, learning rates),
# are ordered, not told apart: viridis, without its ends that vanish on black or white.
ORDERED = ('#46327e', '#365c8d', '#277f8e', '#1fa187', '#4ac16d', '#a0da39', '#d8c822')
_NUMBER_IN_NAME = re.compile(r'[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?')


def key(series: Series) -> str:
    """The group of a series."""
    if series.group is None:
        return series.name
    return series.group


class ColourScale(NamedTuple):
    """Where the values of a figure lie on the ordered palette."""

    low: float
    high: float
    is_log: bool  # they are positive and span more than a factor of 8

    def position(self, value: float) -> float:
        """In [0, 1]."""
        if self.low == self.high:
            return 0.0
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def colour_scale(drawing: Figure) -> ColourScale | None:
    """Of the values of a figure's series; None: they have none."""
    values = [series.value for series in drawing.series if series.value is not None]
    return scale_of([value for value in values if math.isfinite(value)])


def colour_ticks(colours: ColourScale | None) -> tuple[list[float], list[str]]:
    """Places in [0, 1] along a colour bar, and the values there."""
    if colours is None:
        return [], []
    values = np.linspace(colours.low, colours.high, 5)
    if colours.is_log:
        values = np.geomspace(colours.low, colours.high, 5)
    return list(map(colours.position, values)), [f'{value:.3g}' for value in values]


def scale_of(values: Sequence[float]) -> ColourScale | None:
    """The scale that holds these; None: there are none."""
    if not values:
        return None
    low, high = min(values), max(values)
    return ColourScale(low, high, low > 0 and high > 8 * low)


def values_of(drawing: Figure) -> dict[str, float]:
    """{group: its value} of the groups whose series have one."""
    values = {}
    for series in drawing.series:
        if series.value is not None and math.isfinite(series.value):
            values.setdefault(key(series), series.value)
    return values


def by_value(groups: Sequence[str], values: Mapping[str, float]) -> dict[str, str]:
    """Colours on the scale of the values; grey for a group without one."""
    scale = scale_of(list(values.values()))
    colours = dict.fromkeys(groups, CATEGORIES[-1])
    if scale is not None:
        for group in values:
            colours[group] = ordered(scale.position(values[group]))
    return colours


def values_in(groups: Sequence[str]) -> dict[str, float]:
    """{group: the number in its name} where the names differ in one number alone."""
    numbers = [list(map(float, _NUMBER_IN_NAME.findall(group))) for group in groups]
    if len(set(map(len, numbers))) > 1 or not are_ordered(groups):
        return {}
    slots = [slot for slot in zip(*numbers, strict=True) if len(set(slot)) > 1]
    if len(slots) != 1:
        return {}
    return dict(zip(groups, slots[0], strict=True))


def are_ordered(groups: Sequence[str]) -> bool:
    """Whether they differ in a number alone, as 'B 32' and 'B 64' do."""
    stems = {_NUMBER_IN_NAME.sub('#', group) for group in groups}
    return len(groups) > 1 and len(stems) == 1 and '#' in stems.pop()


def ordered(place: float) -> str:
    """The colour at `place` in [0, 1] of the ordered palette."""
    position = place * (len(ORDERED) - 1)
    left = min(int(position), len(ORDERED) - 2)
    share = position - left
    mixed = []
    for lower, upper in zip(rgb(ORDERED[left]), rgb(ORDERED[left + 1]), strict=True):
        mixed.append(round(lower + (upper - lower) * share))
    return '#{:02x}{:02x}{:02x}'.format(*mixed)


def rgb(colour: str) -> list[int]:
    """'#0072B2' as [0, 114, 178]."""
    return list(bytes.fromhex(colour.removeprefix('#')))
