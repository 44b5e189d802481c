"""A Figure drawn twice: for the browser (plotly) and for the paper (matplotlib)."""

import csv
import io
import itertools
import math
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from lbexp.analysis import Figure
from lbexp.engine.metrics_file import replace
from lbexp.report import FIGURE_FORMATS
from lbexp.report.file_names import file_names
from lbexp.report.looks import PALETTE, key, looks, placed

_SAVING = {'png': {'dpi': 160}, 'pdf': {'metadata': {'CreationDate': None}}}  # by format
_LABEL = 40  # characters of a name in a legend, which takes its room from the axes
# with more series than this those of a group become one trace, with gaps: the browser stays quick
ALONE = 64


def figure(drawing):
    """The plotly figure as plain data {'data', 'layout'}: what Plotly.newPlot takes;
    `plotly.graph_objects.Figure(...)` too.

    Args:
        drawing: an `analysis.Figure`.
    Raises:
        ValueError: a scale, style or length that cannot be drawn.
    """
    _check(drawing)
    groups, traces, seen = looks(drawing), [], set()
    crowded = len(drawing.series) > ALONE
    for series in _merged(drawing.series) if crowded else drawing.series:
        look = groups[key(series)]
        first = look.named and key(series) not in seen
        seen.add(key(series))
        bold = series.low is not None or len(drawing.series) <= len(PALETTE)
        traces += _traces(series, look, first, bold, drawing.x_scale)
    layout = {
        'xaxis': _axis(drawing.x_label, drawing.x_scale, [one.x for one in drawing.series]),
        'yaxis': _axis(drawing.y_label, drawing.y_scale, [one.y for one in drawing.series]),
        'showlegend': any(look.named for look in groups.values()) and len(drawing.series) > 1,
    }
    if drawing.places:
        names = [_text(name) for name in drawing.places]
        layout['xaxis'] |= {
            'tickvals': list(range(len(names))),
            'ticktext': names,
            'tickangle': -30,
        }
    elif ticks := _ticks(drawing):
        layout['xaxis'] |= {'tickvals': ticks, 'ticktext': [f'{tick:g}' for tick in ticks]}
    return {'data': traces, 'layout': layout}


def save(
    drawing: Figure, folder: PathLike | str, formats: Sequence[str] = FIGURE_FORMATS
) -> dict[str, Path]:
    """Writes NAME.csv (the numbers drawn), NAME.png (for slides) and NAME.pdf (for the paper) under
    `folder`.

    Args:
        formats: 'png', 'pdf', both or none. What is not asked for is removed: it may be an older
            drawing.

    Returns:
        The paths, by format.
    """
    _check(drawing)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (stem,) = file_names([drawing.name])
    numbers = io.StringIO(newline='')
    _numbers(drawing, csv.writer(numbers))
    contents = {'csv': numbers.getvalue().encode()}
    if formats:
        contents |= _pictures(drawing, formats)
    for kind in set(FIGURE_FORMATS) - set(formats):
        (folder / f'{stem}.{kind}').unlink(missing_ok=True)
    paths = {kind: folder / f'{stem}.{kind}' for kind in contents}
    for kind, content in contents.items():
        replace(paths[kind], content)
    return paths


def _pictures(drawing, formats):
    """The contents of files, by format."""
    from matplotlib import figure as canvas
    from matplotlib import rc_context

    style = {
        'font.size': 9,
        'axes.spines.top': False,
        'axes.spines.right': False,
        'axes.grid': True,
        'grid.alpha': 0.25,
        'axes.titlesize': 10,
        'axes.titlelocation': 'left',
        'legend.frameon': False,
        'pdf.fonttype': 42,
    }
    contents = {}
    with rc_context(style), warnings.catch_warnings():
        # of a letter that the font has not a box is drawn
        warnings.filterwarnings('ignore', 'Glyph')
        page = canvas.Figure(figsize=(5.2, 3.4))
        _draw(page, drawing)
        for kind in formats:
            content = io.BytesIO()
            page.savefig(content, format=kind, **_SAVING[kind])
            page.set_layout_engine('none')  # laid out once: that takes a third of the time
            contents[kind] = content.getvalue()
    return contents


def _check(drawing):
    for name, scale in (('x_scale', drawing.x_scale), ('y_scale', drawing.y_scale)):
        if scale not in ('linear', 'log'):
            raise ValueError(
                f"figure {drawing.name!r}: {name} is {scale!r}, but is 'linear' or 'log'."
            )
    for series in drawing.series:
        lengths = {
            len(part) for part in (series.x, series.y, series.low, series.high) if part is not None
        }
        if len(lengths) != 1:
            raise ValueError(
                f'figure {drawing.name!r}, series {series.name!r}: x, y, low, high have lengths '
                f'{sorted(lengths)}, but need one.'
            )
        if series.style not in ('line', 'points', 'band'):
            raise ValueError(
                f'figure {drawing.name!r}, series {series.name!r}: style is {series.style!r}, '
                "but is 'line', 'points' or 'band'."
            )
        if (series.low is None) != (series.high is None) or (
            series.style == 'band' and series.low is None
        ):
            raise ValueError(
                f'figure {drawing.name!r}, series {series.name!r}: give both low and high.'
            )


def _merged(series):
    """Plain lines (and points) of one group as one series with gaps between them."""
    merged, kept = {}, []
    for one in series:
        if one.low is not None:
            kept.append(one)
            continue
        x, y = merged.setdefault((key(one), one.style), ([], []))
        x += [*one.x, math.nan]
        y += [*one.y, math.nan]
    return [
        series[0]._replace(name=group, group=group, x=x, y=y, low=None, high=None, style=style)
        for (group, style), (x, y) in merged.items()
    ] + kept


def _traces(series, look, first, bold, scale):
    """Plotly traces: a band below its line, points with error bars."""
    group, colour, traces = key(series), look.colour, []
    common = {'type': 'scatter', 'x': _values(placed(series, look, scale)), 'legendgroup': group}
    common['name'] = _text(_short(group))
    if series.low is not None and series.style != 'points':
        edge = common | {
            'mode': 'lines',
            'line': {'width': 0},
            'hoverinfo': 'skip',
            'showlegend': False,
        }
        traces.append(edge | {'y': _values(series.low)})
        traces.append(
            edge | {'y': _values(series.high), 'fill': 'tonexty', 'fillcolor': _faint(colour)}
        )
        if series.style == 'band':
            traces[-1]['showlegend'] = first
            return traces
    few = sum(value is not None for value in _values(series.y)) <= 1
    trace = common | {
        'y': _values(series.y),
        'showlegend': first,
        'mode': 'markers' if few or series.style == 'points' else 'lines',
        'line': {'color': colour, 'width': 2 if bold else 1, 'dash': look.dash[0]},
        'marker': {'color': colour, 'symbol': look.symbol[0], 'size': look.size},
        'hovertemplate': f'{_text(series.name)}<br>%{{x}}, %{{y:.5g}}<extra></extra>',
    }
    if look.aside:  # the label tells the true x
        trace |= {
            'customdata': _values(series.x),
            'hovertemplate': trace['hovertemplate'].replace('x}', 'customdata}'),
        }
    if series.low is not None and series.style == 'points':
        trace['error_y'] = {
            'type': 'data',
            'symmetric': False,
            'color': colour,
            'array': _values(np.subtract(_floats(series.high), _floats(series.y))),
            'arrayminus': _values(np.subtract(_floats(series.y), _floats(series.low))),
        }
    return [*traces, trace]


def _axis(label, scale, parts):
    axis = {'title': {'text': _text(label)}, 'type': scale, 'automargin': True}
    if scale == 'linear':
        return axis
    values = np.concatenate([_floats(part) for part in parts] or [np.ones(1)])
    values = values[np.isfinite(values) & (values > 0)]
    decades = np.log10(values.max() / values.min()) if len(values) else 1
    # 2 and 5 as well, written out: by themselves plotly prints the digit without its power
    if decades < 1.3:
        return axis | {'dtick': 'D2', 'tickformat': '~g'}
    return axis | {'dtick': max(1, round(decades / 6)), 'exponentformat': 'power'}


def _ticks(drawing):
    """A few values on a logarithmic x axis (batch sizes) are its ticks; None: the usual ones."""
    measured = [one.x for one in drawing.series if one.style == 'points'] or [
        one.x for one in drawing.series
    ]
    values = sorted({float(x) for x in max(measured, key=len, default=[])})
    apart = all(
        right > 1.4 * left > 0 and right == round(right)
        for left, right in itertools.pairwise(values)
    )
    return values if drawing.x_scale == 'log' and 1 < len(values) <= 12 and apart else None


def _text(text):
    """Plotly reads <b> and its like in text: a name is a name."""
    return str(text).replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')


def _short(name):
    return name if len(name) <= _LABEL else f'{name[: _LABEL - 1].rstrip()}…'


def _floats(values):
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _values(values):
    """Numbers as JSON can hold them: five figures, whole where whole, None for what is not
    finite."""
    plain = []
    for value in _floats(values).tolist():
        if not math.isfinite(value):
            plain.append(None)
        else:
            plain.append(
                int(value) if value == int(value) and abs(value) < 1e15 else float(f'{value:.5g}')
            )
    return plain


def _faint(colour):
    return 'rgba({},{},{},0.2)'.format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))


def _draw(page, drawing):
    """The same picture with matplotlib."""
    axes = page.add_subplot()
    groups, seen = looks(drawing), set()
    for series in drawing.series:
        group, look = key(series), groups[key(series)]
        label = _literal(_short(group)) if look.named and group not in seen else None
        seen.add(group)
        x, y, colour = placed(series, look, drawing.x_scale), _floats(series.y), look.colour
        bold = series.low is not None or len(drawing.series) <= len(PALETTE)
        if series.low is not None:
            low, high = _floats(series.low), _floats(series.high)
            if series.style == 'points':
                axes.errorbar(
                    x,
                    y,
                    np.abs([y - low, high - y]),
                    fmt='none',
                    ecolor=colour,
                    elinewidth=1,
                    capsize=2,
                )
            else:
                axes.fill_between(
                    x,
                    low,
                    high,
                    color=colour,
                    alpha=0.2,
                    linewidth=0,
                    label=label if series.style == 'band' else None,
                )
        if series.style == 'points' or np.isfinite(y).sum() == 1:
            axes.plot(x, y, look.symbol[1], color=colour, markersize=0.6 * look.size, label=label)
        elif series.style == 'line':
            axes.plot(
                x,
                y,
                color=colour,
                linewidth=1.6 if bold else 0.7,
                linestyle=look.dash[1],
                label=label,
            )
    axes.set(
        xlabel=_literal(drawing.x_label),
        ylabel=_literal(drawing.y_label),
        title=_literal(drawing.title),
        xscale=drawing.x_scale,
        yscale=drawing.y_scale,
    )
    _number(axes, drawing)
    if drawing.places:
        names = [_literal(name) for name in drawing.places]
        axes.set_xticks(range(len(names)), names, rotation=30, ha='right')
    elif ticks := _ticks(drawing):
        axes.set_xticks(ticks, [f'{tick:g}' for tick in ticks])
        axes.set_xticks([], minor=True)
    if drawing.places or len(drawing.series) > 1:
        # the width of a legend, and the height of names, are not known before
        page.set_layout_engine('constrained')
    if len(drawing.series) > 1:
        page.legend(loc='outside right upper', fontsize=8)
    elif not drawing.places:
        page.subplots_adjust(0.14, 0.14, 0.97, 0.92)


def _literal(text):
    """Text that matplotlib writes as it is: between two dollars it would read a formula."""
    shown = ''.join(
        letter if letter.isprintable() else '\N{REPLACEMENT CHARACTER}' for letter in text
    )
    return shown.replace('$', r'\$')


def _number(axes, drawing):
    """Numbers along logarithmic axes, few enough not to run into each other."""
    from matplotlib import ticker

    for axis, scale in ((axes.xaxis, drawing.x_scale), (axes.yaxis, drawing.y_scale)):
        low, high = axis.get_view_interval()
        if scale == 'log' and 0 < low < high:
            decades = math.log10(high / low)
            if decades < 0.8:
                axis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))
            elif decades < 3:
                axis.set_major_locator(
                    ticker.LogLocator(subs=(1, 2, 5) if decades < 1.6 else (1, 3))
                )
            if decades < 3:
                axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:.3g}'))
            axis.set_minor_formatter(ticker.NullFormatter())


def _numbers(drawing, writer):
    writer.writerow(['series', 'group', drawing.x_label, drawing.y_label, 'low', 'high'])
    for series in drawing.series:
        blank = [''] * len(series.x)
        ends = (blank, blank) if series.low is None else (series.low, series.high)
        for row in zip(series.x, series.y, *ends):
            writer.writerow([series.name, key(series), *row])
