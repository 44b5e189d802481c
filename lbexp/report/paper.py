"""A Figure for slides and the paper, as matplotlib draws it, and the numbers drawn."""

import csv
import io
import itertools
import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lbexp.analysis import Figure
from lbexp.engine.metrics_file import replace
from lbexp.report import FIGURE_FORMATS
from lbexp.report.colours import ORDERED, colour_scale, colour_ticks, key
from lbexp.report.file_names import file_names
from lbexp.report.style import (
    check,
    floats,
    is_bold,
    label,
    placed_bars,
    styles,
    tick_labels,
    ticks,
)

if TYPE_CHECKING:
    import matplotlib.figure

# by format
_SAVING: dict[str, dict[str, Any]] = {
    'png': {'dpi': 160},
    # without its date, equal drawings are equal files
    'pdf': {'metadata': {'CreationDate': None}},
}
_SETTINGS = {
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.grid': True,
    'grid.alpha': 0.25,
    'axes.titlesize': 10,
    'axes.titlelocation': 'left',
    'legend.frameon': False,
    # TrueType: some publishers refuse matplotlib's default, Type 3
    'pdf.fonttype': 42,
}

_CAPTION_SIZE, _CAPTION_WIDTH = 6.5, 108  # points, characters a line
_LINE = 0.12  # height of a line of the caption [inches]


def save(
    drawing: Figure,
    folder: PathLike | str,
    formats: Sequence[str] = FIGURE_FORMATS,
    shared: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """Writes NAME.csv (the numbers drawn), NAME.png (for slides) and NAME.pdf (for the paper) under
    `folder`.

    Args:
        formats: 'png', 'pdf', both or none. What is not asked for is removed: it may be an older
            drawing.
        shared: colours of groups that other figures draw as well (`style.shared_colours`).

    Returns:
        The paths, by format.
    """
    check(drawing)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (stem,) = file_names([drawing.name])
    contents = {'csv': _numbers(drawing).encode()}
    if formats:
        contents |= _pictures(drawing, formats, shared)
    for kind in set(FIGURE_FORMATS) - set(formats):
        (folder / f'{stem}.{kind}').unlink(missing_ok=True)
    paths = {}
    for kind, content in contents.items():
        paths[kind] = folder / f'{stem}.{kind}'
        replace(paths[kind], content)
    return paths


def picture(drawing: Figure, shared: Mapping[str, str] | None = None) -> 'matplotlib.figure.Figure':
    """The figure as matplotlib's, of no display.

    Args:
        shared: as in `save`.
    """
    from matplotlib import figure as canvas
    from matplotlib import rc_context

    check(drawing)
    with rc_context(_SETTINGS):
        # no pyplot: it would keep every figure, and choose a display
        lines = textwrap.wrap(drawing.caption, _CAPTION_WIDTH)
        page = canvas.Figure(figsize=(5.2, 3.4 + _LINE * len(lines)))
        _draw(page, drawing, shared)
        if lines:
            # beside everything else: what the picture is of goes where the picture goes
            page.set_layout_engine('constrained')
            text = '\n'.join(map(_literal, lines))
            page.supxlabel(text, x=0.01, ha='left', fontsize=_CAPTION_SIZE)
    return page


def _pictures(drawing, formats, shared):
    """The contents of files, by format."""
    from matplotlib import rc_context

    contents = {}
    page = picture(drawing, shared)
    with rc_context(_SETTINGS), warnings.catch_warnings():
        # of a letter that the font has not a box is drawn
        warnings.filterwarnings('ignore', 'Glyph')
        for kind in formats:
            content = io.BytesIO()
            page.savefig(content, format=kind, **_SAVING[kind])
            # Laid out once: that takes a third of the time.
            page.set_layout_engine('none')
            contents[kind] = content.getvalue()
    return contents


def _draw(page, drawing, shared=None):
    axes = page.add_subplot()
    groups, in_legend = styles(drawing, shared), set()
    for series in drawing.series:
        group = key(series)
        style = groups[group]
        name = None
        if style.named and group not in in_legend:
            name = _literal(label(group))
        in_legend.add(group)
        _draw_series(axes, series, style, name, is_bold(series, drawing), drawing.x_scale)
    axes.set(
        xlabel=_literal(drawing.x_label),
        ylabel=_literal(drawing.y_label),
        title=_literal(drawing.title),
        xscale=drawing.x_scale,
        yscale=drawing.y_scale,
    )
    _number(axes, drawing)
    values = ticks(drawing)
    if drawing.places:
        names = list(map(_literal, drawing.places))
        axes.set_xticks(range(len(names)), names, rotation=30, ha='right')
    elif values:
        axes.set_xticks(values, tick_labels(values))
        axes.set_xticks([], minor=True)
    if drawing.places or len(drawing.series) > 1:
        # the width of a legend, and the height of names, are not known before
        page.set_layout_engine('constrained')
    if drawing.colour_label:
        _draw_colour_bar(page, axes, drawing)
    elif len(groups) > 1:
        page.legend(loc='outside right upper', fontsize=8)
    elif len(drawing.series) < 2 and not drawing.places and not drawing.caption:
        page.subplots_adjust(0.14, 0.14, 0.97, 0.92)


def _draw_colour_bar(page, axes, drawing):
    """What the colours of the values are, beside the axes."""
    from matplotlib import cm, colors

    palette = colors.LinearSegmentedColormap.from_list('ordered', ORDERED)
    bar = page.colorbar(cm.ScalarMappable(cmap=palette), ax=axes)
    places, names = colour_ticks(colour_scale(drawing))
    bar.set_ticks(places, labels=names)
    bar.set_label(_literal(drawing.colour_label))


def _draw_series(axes, series, style, name, bold, scale):
    """Band or error bars, then the line or the symbols; `name` is that of the legend, or None."""
    x, y = floats(series.x), floats(series.y)
    colour = style.colour
    if series.low is not None:
        low, high = floats(series.low), floats(series.high)
        if series.style == 'points':
            lengths = np.abs([y - low, high - y])
            beside = placed_bars(series, style, scale)
            axes.errorbar(beside, y, lengths, fmt='none', ecolor=colour, elinewidth=1, capsize=2)
        else:
            # the line in a band has the name, a band alone has its own
            named = name if series.style == 'band' else None
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0, label=named)
    if series.style == 'points' or np.isfinite(y).sum() == 1:
        size = 0.6 * style.size
        axes.plot(x, y, style.symbol[1], color=colour, markersize=size, label=name)
    elif series.style == 'line':
        width = 1.6 if bold else 0.7
        axes.plot(x, y, color=colour, linewidth=width, linestyle=style.dash[1], label=name)


def _literal(text):
    """Text that matplotlib writes as it is: between two dollars it would read a formula."""
    for letter in itertools.filterfalse(str.isprintable, text):
        text = text.replace(letter, '\N{REPLACEMENT CHARACTER}')
    return text.replace('$', r'\$')


def _number(axes, drawing):
    """Numbers along logarithmic axes, few enough not to run into each other."""
    from matplotlib import ticker

    for axis, scale in ((axes.xaxis, drawing.x_scale), (axes.yaxis, drawing.y_scale)):
        low, high = axis.get_view_interval()
        if scale == 'log' and 0 < low < high:
            decades = math.log10(high / low)
            if decades < 0.8:
                axis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))
            elif decades < 1.6:
                axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            elif decades < 3:
                axis.set_major_locator(ticker.LogLocator(subs=(1, 3)))
            if decades < 3:
                axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:.3g}'))
            axis.set_minor_formatter(ticker.NullFormatter())


def _numbers(drawing):
    """The numbers drawn, as CSV."""
    content = io.StringIO(newline='')
    writer = csv.writer(content)
    writer.writerow(['series', 'group', drawing.x_label, drawing.y_label, 'low', 'high'])
    for series in drawing.series:
        low = high = [''] * len(series.x)
        if series.low is not None:
            low, high = series.low, series.high
        for row in zip(series.x, series.y, low, high, strict=True):
            writer.writerow([series.name, key(series), *row])
    return content.getvalue()
