"""What tells the groups of a figure apart: in colour, in grey, and where they lie on one
another."""

import collections
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lbexp.analysis import Figure, Series
from lbexp.report.colours import (
    CATEGORIES,
    PALETTE,
    are_ordered,
    by_value,
    colour_scale,
    key,
    ordered,
    values_in,
    values_of,
)

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
_SIZE = 8  # of a lone value of a line
_BESIDE = 0.06  # of the distance to the next x: how far error bars of two groups stand apart


class SeriesStyle(NamedTuple):
    """How the series of a group are drawn."""

    colour: str
    symbol: tuple[str, str]
    dash: tuple
    size: float  # of symbols [pixels]
    named: bool  # in the legend
    x_offset: float  # shift of error bars along x, in powers of ten on a logarithmic axis


def shared_colours(drawings: Sequence[Figure]) -> dict[str, str]:
    """{group: its colour} for those groups that have one colour in all figures of a report: what
    has no order, and is drawn in more than one figure.

    {}: there are more of them than colours.
    """
    drawn_in = collections.Counter()
    for drawing in drawings:
        groups = list(dict.fromkeys(map(key, drawing.series)))
        if not are_ordered(groups):
            drawn_in.update(groups)
    shared = [group for group, count in drawn_in.items() if count > 1]
    if len(shared) > len(CATEGORIES):
        return {}
    return dict(zip(shared, CATEGORIES, strict=False))


def styles(drawing: Figure, shared: Mapping[str, str] | None = None) -> dict[str, SeriesStyle]:
    """{group: its style}, in the order of the legend.

    Lines without symbols have dashes of their own where every group is one line: in grey colours
    are much the same. Symbols shrink from group to group, so that equal points are seen, and error
    bars at the same x stand side by side; symbols and lines stay where they belong.

    Args:
        shared: colours that are those of other figures, too (`shared_colours`).
    """
    groups = list(dict.fromkeys(map(key, drawing.series)))
    with_symbols = sorted(set(_groups(drawing, 'points')), key=groups.index)
    colours, named = _colours(groups, shared or {}, values_of(drawing))
    if drawing.colour_label:
        named = set()
    dashes = _dashes(groups, _groups(drawing, 'line'), with_symbols)
    sizes = np.linspace(*_SIZES, max(len(with_symbols), 2)).tolist()
    size_of = dict(zip(with_symbols, sizes, strict=False))
    offsets = _offsets(drawing)
    drawn = {}
    has_values = colour_scale(drawing) is not None
    for place, group in enumerate(groups):
        # Where colours are of numbers, symbols say nothing more.
        symbol = SYMBOLS[0 if has_values else place % len(SYMBOLS)]
        drawn[group] = SeriesStyle(
            colours[group],
            symbol,
            dashes.get(group, DASHES[0]),
            _SIZE if has_values else size_of.get(group, _SIZE),
            group in named,
            offsets.get(group, 0.0),
        )
    return drawn


def floats(values: Sequence[float | None] | np.ndarray) -> np.ndarray:
    """float64; NaN for None."""
    return np.array(values, np.float64)


def placed_bars(series: Series, style: SeriesStyle, scale: str) -> np.ndarray:
    """x of the error bars of a series, beside those of other groups."""
    x = floats(series.x)
    if not style.x_offset:
        return x
    if scale == 'log':
        return x * 10**style.x_offset
    return x + style.x_offset


def label(group: str) -> str:
    """What a legend has room for."""
    if len(group) <= _LABEL:
        return group
    return f'{group[: _LABEL - 1].rstrip()}…'


def is_bold(series: Series, drawing: Figure) -> bool:
    """Thick lines for what has a band, and where there are few."""
    return series.low is not None or len(drawing.series) <= len(PALETTE)


def ticks(drawing: Figure) -> list[float] | None:
    """A few values on a logarithmic x axis (batch sizes) are its ticks; None: the usual ones."""
    points = [series.x for series in drawing.series if series.style == 'points']
    longest = max(points or [series.x for series in drawing.series], key=len, default=[])
    values = sorted(set(map(float, longest)))
    if drawing.x_scale != 'log' or not 1 < len(values) <= 12:
        return None
    for left, right in itertools.pairwise(values):
        # closer ones would run into each other
        if not right > 1.4 * left > 0 or right != round(right):
            return None
    return values


def tick_labels(values: Sequence[float]) -> list[str]:
    """What stands beside the values of `ticks`."""
    return list(map('{:g}'.format, values))


def check(drawing: Figure):
    """ValueError: a scale, style or length that cannot be drawn."""
    for name, scale in (('x_scale', drawing.x_scale), ('y_scale', drawing.y_scale)):
        if scale not in ('linear', 'log'):
            raise ValueError(
                f"figure {drawing.name!r}: {name} is {scale!r}, but is 'linear' or 'log'."
            )
    for series in drawing.series:
        _check_series(series, f'figure {drawing.name!r}, series {series.name!r}')


def _check_series(series, where):
    parts = (series.x, series.y, series.low, series.high)
    lengths = {len(part) for part in parts if part is not None}
    if len(lengths) != 1:
        raise ValueError(f'{where}: x, y, low, high have lengths {sorted(lengths)}, but need one.')
    if series.style not in ('line', 'points', 'band'):
        raise ValueError(f"{where}: style is {series.style!r}, but is 'line', 'points' or 'band'.")
    bare_band = series.style == 'band' and series.low is None
    if bare_band or (series.low is None) != (series.high is None):
        raise ValueError(f'{where}: give both low and high.')


def _groups(drawing, style):
    """The groups of the series of this style, of each as often as it has them."""
    return [key(series) for series in drawing.series if series.style == style]


def _dashes(groups, lines, with_symbols):
    """{group: its dashes}, for lines that nothing else tells apart in grey."""
    has_group_of_lines = len(set(lines)) < len(lines)
    if has_group_of_lines or len(groups) > len(PALETTE):
        return {}
    bare = [group for group in groups if group in lines and group not in with_symbols]
    # Lines through symbols are the solid ones.
    dashes = DASHES if set(lines).isdisjoint(with_symbols) else DASHES[1:]
    return dict(zip(bare, dashes, strict=False))


def _colours(groups, shared, values):
    """Colour of each group, and the groups that the legend names."""
    most = len(PALETTE) if are_ordered(groups) else len(CATEGORIES)
    if values:
        return by_value(groups, values), _named(groups)
    if len(groups) <= most:
        of_figure = {group: shared[group] for group in groups if group in shared}
        free = [colour for colour in CATEGORIES if colour not in of_figure.values()]
        others = [group for group in groups if group not in of_figure]
        return of_figure | dict(zip(others, free, strict=False)), _named(groups)
    values = values_in(groups)
    if values:
        return by_value(groups, values), _named(groups)
    last = len(groups) - 1
    colours = {group: ordered(place / last) for place, group in enumerate(groups)}
    return colours, _named(groups)


def _named(groups):
    """LEGEND groups at most, evenly spaced, the first and the last among them."""
    if len(groups) <= LEGEND:
        return set(groups)
    places = np.linspace(0, len(groups) - 1, LEGEND).astype(int)
    return {groups[place] for place in places}


def _offsets(drawing):
    """{group: shift} of groups that have error bars at the same x."""
    barred = {}
    for series in drawing.series:
        if series.style == 'points' and series.low is not None:
            barred.setdefault(key(series), set()).update(map(float, series.x))
    places = sorted(set().union(*barred.values()))
    none_shared = len(places) == sum(map(len, barred.values()))
    if not 1 < len(barred) <= len(CATEGORIES) or none_shared:
        return {}
    if drawing.x_scale == 'log':
        places = [math.log10(x) for x in places if x > 0]
    gaps = [right - left for left, right in itertools.pairwise(places)]
    step = _BESIDE * min(gaps, default=0.0)
    # to both sides of the true x alike
    middle = (len(barred) - 1) / 2
    return {group: (place - middle) * step for place, group in enumerate(barred)}
