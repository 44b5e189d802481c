"""A Figure for the browser, as plotly draws it."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lbexp.analysis import Figure, Series
from lbexp.report.colours import ORDERED, colour_scale, colour_ticks, key, rgb
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

# with more series than this those of a group become one trace, with gaps: the browser stays quick
ALONE = 64


def figure(drawing: Figure, shared: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The plotly figure as plain data {'data', 'layout'}: what Plotly.newPlot takes;
    `plotly.graph_objects.Figure(...)` too.

    Args:
        shared: colours of groups that other figures draw as well (`style.shared_colours`).

    Raises:
        ValueError: a scale, style or length that cannot be drawn.
    """
    check(drawing)
    groups = styles(drawing, shared)
    drawn = drawing.series
    if len(drawn) > ALONE:
        drawn = _merged(drawn)
    traces, in_legend = [], set()
    for series in drawn:
        group = key(series)
        style = groups[group]
        is_first = style.named and group not in in_legend
        in_legend.add(group)
        traces += _traces(series, style, is_first, is_bold(series, drawing), drawing.x_scale)
    if len(drawing.series) > ALONE:
        for trace in traces:
            trace['y'] = list(map(_four_figures, trace['y']))
    if drawing.colour_label:
        traces.append(_colour_bar(drawing))
    has_legend = any(map(operator.attrgetter('named'), groups.values()))
    layout = {
        'xaxis': _x_axis(drawing),
        'yaxis': _y_axis(drawing),
        'showlegend': len(groups) > 1 and has_legend,
    }
    return {'data': traces, 'layout': layout}


def _colour_bar(drawing):
    """A trace without a point, which shows the scale of the values' colours."""
    places, names = colour_ticks(colour_scale(drawing))
    steps = np.linspace(0, 1, len(ORDERED)).tolist()
    bar = {
        'title': {'text': _escaped(drawing.colour_label), 'side': 'right'},
        'tickvals': places,
        'ticktext': names,
        'thickness': 12,
        'outlinewidth': 0,
    }
    marker = {
        'color': [0, 1],
        'cmin': 0,
        'cmax': 1,
        'colorscale': list(map(list, zip(steps, ORDERED, strict=True))),
        'showscale': True,
        'colorbar': bar,
    }
    empty = {'type': 'scatter', 'mode': 'markers', 'x': [None], 'y': [None]}
    return empty | {'marker': marker, 'showlegend': False, 'hoverinfo': 'skip'}


def _merged(all_series: Sequence[Series]) -> list[Series]:
    """Plain lines (and points) of one group as one series with gaps between them."""
    points, with_ends = {}, []
    for series in all_series:
        if series.low is not None:
            with_ends.append(series)
            continue
        # plotly draws no line to or from a NaN
        x, y = points.setdefault((key(series), series.style), ([], []))
        x += [*series.x, math.nan]
        y += [*series.y, math.nan]
    merged = []
    for (group, style), (x, y) in points.items():
        merged.append(Series(group, x, y, style=style, group=group))
    return merged + with_ends


def _traces(series, style, is_first, bold, scale):
    """Plotly traces: a band below its line, points with error bars.

    Args:
        is_first: this is the series of its group that the legend names.
    """
    common = {
        'type': 'scatter',
        'x': _values(series.x),
        'legendgroup': key(series),
        'name': _escaped(label(key(series))),
    }
    line = common | _line(series, style, is_first, bold)
    if series.low is None:
        return [line]
    if series.style == 'points':
        return [_bars(series, common, style, scale), line]
    low, high = _band(series, common, style.colour)
    if series.style == 'band':
        return [low, high | {'showlegend': is_first}]
    return [low, high, line]


def _line(series, style, is_first, bold):
    """What a trace of a line or of points has of its own."""
    is_lone = np.isfinite(floats(series.y)).sum() <= 1
    mode = 'markers' if is_lone or series.style == 'points' else 'lines'
    return {
        'y': _values(series.y),
        'showlegend': is_first,
        'mode': mode,
        'line': {'color': style.colour, 'width': 2 if bold else 1, 'dash': style.dash[0]},
        'marker': {'color': style.colour, 'symbol': style.symbol[0], 'size': style.size},
        'hovertemplate': f'{_escaped(series.name)}<br>%{{x}}, %{{y:.5g}}<extra></extra>',
    }


def _band(series, common, colour):
    hidden = {'mode': 'lines', 'line': {'width': 0}, 'hoverinfo': 'skip', 'showlegend': False}
    faint = 'rgba({},{},{},0.2)'.format(*rgb(colour))
    low = common | hidden | {'y': _values(series.low)}
    high = common | hidden | {'y': _values(series.high), 'fill': 'tonexty', 'fillcolor': faint}
    return [low, high]


def _bars(series, common, style, scale):
    """Error bars without symbols: they may stand beside those of other groups."""
    return common | {
        'x': _values(placed_bars(series, style, scale)),
        'y': _values(series.y),
        'mode': 'markers',
        'marker': {'opacity': 0, 'color': style.colour},
        'hoverinfo': 'skip',
        'showlegend': False,
        'error_y': _error_bars(series, style.colour),
    }


def _error_bars(series, colour):
    y = floats(series.y)
    return {
        'type': 'data',
        'symmetric': False,
        'color': colour,
        'array': _values(floats(series.high) - y),
        'arrayminus': _values(y - floats(series.low)),
    }


def _x_axis(drawing):
    axis = _axis(drawing.x_label, drawing.x_scale, [series.x for series in drawing.series])
    if drawing.places:
        names = list(map(_escaped, drawing.places))
        return axis | {'tickvals': list(range(len(names))), 'ticktext': names, 'tickangle': -30}
    values = ticks(drawing)
    if values:
        return axis | {'tickvals': values, 'ticktext': tick_labels(values)}
    return axis


def _y_axis(drawing):
    parts = [series.y for series in drawing.series]
    axis = _axis(drawing.y_label, drawing.y_scale, parts)
    values = np.concatenate([np.zeros(0), *map(floats, parts)])
    values = values[np.isfinite(values)]
    if drawing.y_scale == 'linear' and len(values) and np.ptp(values) == 0:
        # by itself plotly shows one unit to each side: a constant rate of 0.001 would look like 0
        axis['rangemode'] = 'tozero'
    return axis


def _axis(label, scale, parts):
    axis = {'title': {'text': _escaped(label)}, 'type': scale, 'automargin': True}
    if scale == 'linear':
        return axis
    values = np.concatenate([np.zeros(0), *map(floats, parts)])
    values = values[np.isfinite(values) & (values > 0)]
    decades = 0.0
    if len(values):
        decades = np.log10(values.max() / values.min())
    if decades < 1.3:
        # 2 and 5 as well, written out: by themselves plotly prints the digit without its power
        return axis | {'dtick': 'D2', 'tickformat': '~g'}
    return axis | {'dtick': max(1, round(decades / 6)), 'exponentformat': 'power'}


def _escaped(text):
    """Plotly reads <b> and its like in text: a name is a name."""
    return str(text).replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')


def _values(values):
    """Numbers as JSON can hold them: five figures, whole where whole, None for what is not
    finite."""
    return list(map(_value, floats(values).tolist()))


def _four_figures(value):
    """Enough for one line among many; of a page of a hundred trials numbers are most."""
    return value if value is None else float(f'{value:.4g}')


def _value(value):
    if not math.isfinite(value):
        return None
    # an integer is shorter; from 1e15 on its digits would be longer than the five figures
    if value == int(value) and abs(value) < 1e15:
        return int(value)
    return float(f'{value:.5g}')
