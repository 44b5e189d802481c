"""What tells the groups of a figure apart: in colour, in grey, and where they lie on one
another."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp.analysis import Figure, Series

# Okabe and Ito 2008: told apart with any colour vision, and dark enough on white, light enough on
# black.
PALETTE = ('#0072B2', '#E69F00', '#009E73', '#CC79A7', '#D55E00', '#56B4E9')
# More groups than that are ordered, not told apart: viridis, without its ends that vanish on black
# or white.
ORDERED = ('#46327e', '#365c8d', '#277f8e', '#1fa187', '#4ac16d', '#a0da39', '#d8c822')
LEGEND = 8  # entries; of more groups every n-th is named
# Names of plotly and of matplotlib.
SYMBOLS = (('circle', 'o'), ('square', 's'), ('diamond', 'D'), ('triangle-up', '^'), ('cross', 'P'))
DASHES = (
    ('solid', '-'),
    ('dash', (0, (6, 2))),
    ('dot', (0, (1.5, 1.5))),
    ('dashdot', (0, (6, 2, 1.5, 2))),
    ('longdash', (0, (11, 2))),
    ('longdashdot', (0, (11, 2, 1.5, 2))),
)
_LABEL = 40  # characters of a name in a legend, which takes its room from the axes
_SIZES = (11, 7)  # of symbols of the first group and of the last, which lies on top
_BESIDE = 0.1  # of the distance to the next x: how far error bars of two groups stand apart


class SeriesStyle(NamedTuple):
    """How the series of a group are drawn."""

    colour: str
    symbol: tuple[str, str]
    dash: tuple
    size: float  # of symbols [pixels]
    named: bool  # in the legend
    x_offset: float  # shift along x, in powers of ten on a logarithmic axis


def styles(drawing: Figure) -> dict[str, SeriesStyle]:
    """{group: its style}, in the order of the legend.

    Lines without symbols have dashes of their own where every group is one line: in grey colours
    are much the same. Symbols shrink from group to group, so that equal points are seen, and error
    bars at the same x stand side by side.
    """
    keys = list(dict.fromkeys(key(series) for series in drawing.series))
    colours, named = _colours(keys)
    lines = [key(series) for series in drawing.series if series.style == 'line']
    with_symbols = {key(series) for series in drawing.series if series.style == 'points'}
    dashes = {}
    if len(set(lines)) == len(lines) and len(keys) <= len(PALETTE):
        dashed = [group for group in keys if group in lines and group not in with_symbols]
        # lines through symbols are the solid ones
        first = int(any(group in with_symbols for group in lines))
        dashes = dict(zip(dashed, DASHES[first:], strict=False))
    sizes = np.linspace(*_SIZES, max(len(with_symbols), 2)).tolist()
    symbol_groups = [group for group in keys if group in with_symbols]
    size_of = dict(zip(symbol_groups, sizes, strict=False))
    offsets = _offsets(drawing)
    return {
        group: SeriesStyle(
            colours[group],
            SYMBOLS[place % len(SYMBOLS)],
            dashes.get(group, DASHES[0]),
            size_of.get(group, 8),
            group in named,
            offsets.get(group, 0.0),
        )
        for place, group in enumerate(keys)
    }


def key(series: Series) -> str:
    """The group of a series."""
    return series.name if series.group is None else series.group


def floats(values: Sequence[float | None]) -> np.ndarray:
    """float64; NaN for None."""
    return np.array([math.nan if value is None else value for value in values], np.float64)


def placed(series: Series, style: SeriesStyle, scale: str) -> np.ndarray:
    """x of a series, shifted as its group is."""
    x = floats(series.x)
    if not style.x_offset:
        return x
    return x * 10**style.x_offset if scale == 'log' else x + style.x_offset


def label(group: str) -> str:
    """What a legend has room for."""
    return group if len(group) <= _LABEL else f'{group[: _LABEL - 1].rstrip()}…'


def is_bold(series: Series, drawing: Figure) -> bool:
    """Thick lines for what has a band, and where there are few."""
    return series.low is not None or len(drawing.series) <= len(PALETTE)


def ticks(drawing: Figure) -> list[float] | None:
    """A few values on a logarithmic x axis (batch sizes) are its ticks; None: the usual ones."""
    points = [series.x for series in drawing.series if series.style == 'points']
    longest = max(points or [series.x for series in drawing.series], key=len, default=[])
    values = sorted({float(x) for x in longest})
    if drawing.x_scale != 'log' or not 1 < len(values) <= 12:
        return None
    for left, right in itertools.pairwise(values):
        # closer ones would run into each other
        if not right > 1.4 * left > 0 or right != round(right):
            return None
    return values


def check(drawing: Figure):
    """ValueError: a scale, style or length that cannot be drawn."""
    for name, scale in (('x_scale', drawing.x_scale), ('y_scale', drawing.y_scale)):
        if scale not in ('linear', 'log'):
            raise ValueError(
                f"figure {drawing.name!r}: {name} is {scale!r}, but is 'linear' or 'log'."
            )
    for series in drawing.series:
        where = f'figure {drawing.name!r}, series {series.name!r}'
        parts = (series.x, series.y, series.low, series.high)
        lengths = {len(part) for part in parts if part is not None}
        if len(lengths) != 1:
            raise ValueError(
                f'{where}: x, y, low, high have lengths {sorted(lengths)}, but need one.'
            )
        if series.style not in ('line', 'points', 'band'):
            raise ValueError(
                f"{where}: style is {series.style!r}, but is 'line', 'points' or 'band'."
            )
        bare_band = series.style == 'band' and series.low is None
        if bare_band or (series.low is None) != (series.high is None):
            raise ValueError(f'{where}: give both low and high.')


def _colours(keys):
    """Colour of each group, and the groups that the legend names."""
    if len(keys) <= len(PALETTE):
        return dict(zip(keys, PALETTE, strict=False)), set(keys)
    colours = {group: _ordered(place / (len(keys) - 1)) for place, group in enumerate(keys)}
    if len(keys) <= LEGEND:
        return colours, set(keys)
    return colours, {keys[i] for i in np.linspace(0, len(keys) - 1, LEGEND).astype(int)}


def _ordered(place):
    """The colour at `place` in [0, 1] of the ordered palette."""
    position = place * (len(ORDERED) - 1)
    left = min(int(position), len(ORDERED) - 2)
    lower, upper = (rgb(colour) for colour in ORDERED[left : left + 2])
    mixed = [round(a + (b - a) * (position - left)) for a, b in zip(lower, upper, strict=True)]
    return '#{:02x}{:02x}{:02x}'.format(*mixed)


def rgb(colour: str) -> list[int]:
    """'#0072B2' as [0, 114, 178]."""
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _offsets(drawing):
    """{group: shift} of groups that have error bars at the same x."""
    barred = {}
    for series in drawing.series:
        if series.style == 'points' and series.low is not None:
            barred.setdefault(key(series), set()).update(float(x) for x in series.x)
    every = list(itertools.chain(*barred.values()))
    if not 1 < len(barred) <= len(PALETTE) or len(set(every)) == len(every):
        return {}
    places = sorted(set(every))
    if drawing.x_scale == 'log':
        places = [math.log10(x) for x in places if x > 0]
    gaps = [right - left for left, right in itertools.pairwise(places)]
    step = _BESIDE * min(gaps, default=0.0)
    middle = (len(barred) - 1) / 2
    return {group: (place - middle) * step for place, group in enumerate(barred)}
