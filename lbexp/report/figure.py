"""A Figure for the browser, as plotly draws it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lbexp.analysis import Figure, Series
from lbexp.report.style import check, floats, is_bold, key, label, placed, rgb, styles, ticks

# with more series than this those of a group become one trace, with gaps: the browser stays quick
ALONE = 64


def figure(drawing: Figure) -> dict[str, Any]:
    """The plotly figure as plain data {'data', 'layout'}: what Plotly.newPlot takes;
    `plotly.graph_objects.Figure(...)` too.

    Raises:
        ValueError: a scale, style or length that cannot be drawn.
    """
    check(drawing)
    groups, traces, named = styles(drawing), [], set()
    drawn = _merged(drawing.series) if len(drawing.series) > ALONE else drawing.series
    for series in drawn:
        style = groups[key(series)]
        first = style.named and key(series) not in named
        named.add(key(series))
        traces += _traces(series, style, first, is_bold(series, drawing), drawing.x_scale)
    x, y = [series.x for series in drawing.series], [series.y for series in drawing.series]
    layout = {
        'xaxis': _axis(drawing.x_label, drawing.x_scale, x),
        'yaxis': _axis(drawing.y_label, drawing.y_scale, y),
        'showlegend': len(drawing.series) > 1 and any(style.named for style in groups.values()),
    }
    if drawing.places:
        names = [_escaped(name) for name in drawing.places]
        where = {'tickvals': list(range(len(names))), 'ticktext': names, 'tickangle': -30}
        layout['xaxis'] |= where
    elif values := ticks(drawing):
        layout['xaxis'] |= {'tickvals': values, 'ticktext': [f'{tick:g}' for tick in values]}
    return {'data': traces, 'layout': layout}


def _merged(all_series: Sequence[Series]) -> list[Series]:
    """Plain lines (and points) of one group as one series with gaps between them."""
    merged, with_ends = {}, []
    for series in all_series:
        if series.low is not None:
            with_ends.append(series)
            continue
        x, y = merged.setdefault((key(series), series.style), ([], []))
        x += [*series.x, math.nan]
        y += [*series.y, math.nan]
    joined = [
        Series(group, x, y, style=style, group=group) for (group, style), (x, y) in merged.items()
    ]
    return joined + with_ends


def _traces(series, style, first, bold, scale):
    """Plotly traces: a band below its line, points with error bars.

    Args:
        first: this is the series of its group that the legend names.
    """
    traces = []
    common = {
        'type': 'scatter',
        'x': _values(placed(series, style, scale)),
        'legendgroup': key(series),
        'name': _escaped(label(key(series))),
    }
    if series.low is not None and series.style != 'points':
        traces += _band(series, common, style.colour)
        if series.style == 'band':
            traces[-1]['showlegend'] = first
            return traces
    few = int(np.isfinite(floats(series.y)).sum()) <= 1
    # the label tells the true x
    x = 'customdata' if style.x_offset else 'x'
    trace: dict[str, Any] = common | {
        'y': _values(series.y),
        'showlegend': first,
        'mode': 'markers' if few or series.style == 'points' else 'lines',
        'line': {'color': style.colour, 'width': 2 if bold else 1, 'dash': style.dash[0]},
        'marker': {'color': style.colour, 'symbol': style.symbol[0], 'size': style.size},
        'hovertemplate': f'{_escaped(series.name)}<br>%{{{x}}}, %{{y:.5g}}<extra></extra>',
    }
    if style.x_offset:
        trace['customdata'] = _values(series.x)
    if series.low is not None and series.style == 'points':
        trace['error_y'] = _error_bars(series, style.colour)
    return [*traces, trace]


def _band(series, common, colour):
    hidden = {'mode': 'lines', 'line': {'width': 0}, 'hoverinfo': 'skip', 'showlegend': False}
    faint = 'rgba({},{},{},0.2)'.format(*rgb(colour))
    low = common | hidden | {'y': _values(series.low)}
    high = common | hidden | {'y': _values(series.high), 'fill': 'tonexty', 'fillcolor': faint}
    return [low, high]


def _error_bars(series, colour):
    y = floats(series.y)
    return {
        'type': 'data',
        'symmetric': False,
        'color': colour,
        'array': _values(floats(series.high) - y),
        'arrayminus': _values(y - floats(series.low)),
    }


def _axis(label, scale, parts):
    axis = {'title': {'text': _escaped(label)}, 'type': scale, 'automargin': True}
    if scale == 'linear':
        return axis
    values = np.concatenate([floats(part) for part in parts] or [np.ones(1)])
    values = values[np.isfinite(values) & (values > 0)]
    decades = np.log10(values.max() / values.min()) if len(values) else 1
    # 2 and 5 as well, written out: by themselves plotly prints the digit without its power
    if decades < 1.3:
        return axis | {'dtick': 'D2', 'tickformat': '~g'}
    return axis | {'dtick': max(1, round(decades / 6)), 'exponentformat': 'power'}


def _escaped(text):
    """Plotly reads <b> and its like in text: a name is a name."""
    return str(text).replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')


def _values(values):
    """Numbers as JSON can hold them: five figures, whole where whole, None for what is not
    finite."""
    return [_value(value) for value in floats(values).tolist()]


def _value(value):
    if not math.isfinite(value):
        return None
    if value == int(value) and abs(value) < 1e15:
        return int(value)
    return float(f'{value:.5g}')
