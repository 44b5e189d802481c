"""What tells the groups of a figure apart: in colour, in grey, and where they lie on one
another."""

import itertools
import math
from typing import NamedTuple

import numpy as np

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
_SIZES = (11, 7)  # of symbols of the first group and of the last, which lies on top
_BESIDE = 0.1  # of the distance to the next x: how far error bars of two groups stand apart


class Look(NamedTuple):
    """How the series of a group are drawn."""

    colour: str
    symbol: tuple[str, str]
    dash: tuple
    size: float  # of symbols [pixels]
    named: bool  # in the legend
    aside: float  # shift along x, in powers of ten on a logarithmic axis


def looks(drawing) -> dict[str, Look]:
    """{group: its Look}, in the order of the legend.

    Lines without symbols have dashes of their own where every group is one line: in grey colours
    are much the same. Symbols shrink from group to group, so that equal points are seen, and error
    bars at the same x stand side by side.

    Args:
        drawing: an `analysis.Figure`.
    """
    keys = list(dict.fromkeys(key(one) for one in drawing.series))
    colours, shown = _colours(keys)
    lines = [key(one) for one in drawing.series if one.style == 'line']
    marked = {key(one) for one in drawing.series if one.style == 'points'}
    dashed = [one for one in keys if one in lines and one not in marked]
    apart = len(set(lines)) == len(lines) and len(keys) <= len(PALETTE)
    taken = int(any(one in marked for one in lines))  # lines through symbols are the solid ones
    dashes = {one: DASHES[place + taken] for place, one in enumerate(dashed)} if apart else {}
    sizes = dict(
        zip(
            (one for one in keys if one in marked),
            np.linspace(*_SIZES, max(len(marked), 2)).tolist(),
        )
    )
    asides = _asides(drawing)
    return {
        one: Look(
            colours[one],
            SYMBOLS[place % len(SYMBOLS)],
            dashes.get(one, DASHES[0]),
            sizes.get(one, 8),
            one in shown,
            asides.get(one, 0.0),
        )
        for place, one in enumerate(keys)
    }


def key(series) -> str:
    """The group of a series."""
    return series.name if series.group is None else series.group


def placed(series, look, scale: str) -> np.ndarray:
    """x of a series, shifted as its group is."""
    x = np.array([math.nan if value is None else value for value in series.x], np.float64)
    if not look.aside:
        return x
    return x * 10**look.aside if scale == 'log' else x + look.aside


def _colours(keys):
    """Colour of each group, and the groups that the legend names."""
    if len(keys) <= len(PALETTE):
        return dict(zip(keys, PALETTE)), set(keys)
    colours = {one: _ordered(place / (len(keys) - 1)) for place, one in enumerate(keys)}
    return colours, set(
        keys
        if len(keys) <= LEGEND
        else [keys[i] for i in np.linspace(0, len(keys) - 1, LEGEND).astype(int)]
    )


def _ordered(place):
    """The colour at `place` in [0, 1] of the ordered palette."""
    at = place * (len(ORDERED) - 1)
    left = min(int(at), len(ORDERED) - 2)
    ends = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in ORDERED[left : left + 2]]
    return '#' + ''.join(f'{round(a + (b - a) * (at - left)):02x}' for a, b in zip(*ends))


def _asides(drawing):
    """{group: shift} of groups that have error bars at the same x."""
    barred = {}
    for one in drawing.series:
        if one.style == 'points' and one.low is not None:
            barred.setdefault(key(one), set()).update(float(x) for x in one.x)
    every = list(itertools.chain(*barred.values()))
    if not 1 < len(barred) <= len(PALETTE) or len(set(every)) == len(every):
        return {}
    at = (
        sorted(set(every))
        if drawing.x_scale == 'linear'
        else sorted(math.log10(x) for x in set(every) if x > 0)
    )
    step = _BESIDE * min((right - left for left, right in itertools.pairwise(at)), default=0.0)
    return {one: (place - (len(barred) - 1) / 2) * step for place, one in enumerate(barred)}
