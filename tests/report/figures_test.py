"""Figures from outside: what plotly and matplotlib draw, their files, their labels and axes."""

import csv
import itertools
import json
import math

import pytest
from reports import EVERY

from lbexp.analysis import Figure, Series
from lbexp.report import colours, figure, paper, style


def test_plotly_takes_the_figure_and_finds_the_numbers():
    from plotly.graph_objects import Figure as Plotly

    drawn = Plotly(figure.figure(EVERY))
    assert drawn.layout.xaxis.type == drawn.layout.yaxis.type == 'log'
    named = {trace.name: trace for trace in drawn.data if trace.showlegend}
    assert list(named) == ['line', 'in a band', 'points', 'shared', 'single']
    assert list(named['line'].y) == [3, None, 1]
    (bars,) = [trace for trace in drawn.data if trace.error_y.array is not None]
    assert bars.legendgroup == 'points' and not bars.showlegend and bars.marker.opacity == 0
    assert list(bars.error_y.array) == [2, 0.5] and list(bars.error_y.arrayminus) == [1, 0.5]
    band = [trace for trace in drawn.data if trace.legendgroup == 'in a band']
    assert [list(trace.y) for trace in band] == [[2, 1, 0.5], [4, 3, 2], [3, 2, 1]]
    assert band[1].fill == 'tonexty' and not band[1].showlegend
    assert '&lt;size&gt;' in drawn.layout.xaxis.title.text
    assert (
        len(
            {
                trace.line.color
                for trace in named.values()
                if trace.mode == 'lines' and not trace.fill
            }
        )
        == 2
    )


def test_ticks_between_powers_of_ten_are_whole_numbers():
    """Of an axis from 2e5 to 8e5 '5' would say nothing."""
    drawing = Figure(
        'f', 'F', 'x', 'examples / s', [Series('s', [1, 2], [2e5, 8e5])], y_scale='log'
    )
    assert figure.figure(drawing)['layout']['yaxis']['tickformat'] == '~g'
    wide = drawing._replace(series=[Series('s', [1, 2], [2e2, 8e5])])
    assert 'tickformat' not in figure.figure(wide)['layout']['yaxis']


def test_a_group_shares_a_colour_and_one_line_of_the_legend():
    lines = [Series(f'{group}{i}', [0, 1], [i, i], group=group) for i in range(4) for group in 'ab']
    traces = figure.figure(Figure('f', 'F', 'x', 'y', lines))['data']
    assert len(traces) == 8 and sum(trace['showlegend'] for trace in traces) == 2
    colours = {
        group: {trace['line']['color'] for trace in traces if trace['name'] == group}
        for group in 'ab'
    }
    assert len(colours['a']) == len(colours['b']) == 1 and colours['a'] != colours['b']


def traces_of(*series, **fields):
    drawn = figure.figure(Figure('f', 'F', 'batch size', 'error', list(series), **fields))['data']
    return {trace['name']: trace for trace in drawn if trace['showlegend']}


def test_lines_are_told_apart_in_grey():
    """By dashes where each group is one line; symbols do it elsewhere, and many lines a group stay
    plain."""
    lines = [
        Series(name, [0, 1], [i, i], [i - 1, i], [i, i + 1]) for i, name in enumerate('abcdef')
    ]
    assert len({trace['line']['dash'] for trace in traces_of(*lines).values()}) == 6
    dots = [Series(name, [0, 1], [0, 1], style='points', group=name) for name in 'ab']
    joined = [Series(name, [0, 1], [0, 1], group=name) for name in 'ab']
    drawn = figure.figure(Figure('f', 'F', 'x', 'y', [*dots, *joined]))['data']
    assert {trace['line']['dash'] for trace in drawn} == {'solid'}
    assert len({trace['marker']['symbol'] for trace in drawn}) == 2
    rule = traces_of(*dots, *joined, Series('rule', [0, 1], [0, 1]))['rule']
    assert rule['line']['dash'] == 'dash'
    several = [Series(f'{name}{i}', [0, 1], [i, i], group=name) for i in range(2) for name in 'ab']
    assert {trace['line']['dash'] for trace in traces_of(*several).values()} == {'solid'}


def test_equal_points_of_two_groups_are_both_seen():
    sizes = [
        t['marker']['size']
        for t in traces_of(*(Series(n, [1], [1], style='points') for n in 'abc')).values()
    ]
    assert sizes == sorted(set(sizes), reverse=True)


@pytest.mark.parametrize('scale', ['linear', 'log'])
def test_error_bars_stand_side_by_side_and_all_else_where_it_belongs(tmp_path, scale):
    """Symbols, fits and theory are at the true x: batch 512 stands at 512."""
    x = [32, 64, 512]
    bars = [Series(name, x, [1, 2, 3], [0, 1, 2], [2, 3, 4], 'points', name) for name in 'ab']
    fits = [Series(f'{name}, fit', [32, 100, 512], [1, 2, 3], group=name) for name in 'ab']
    drawing = Figure('f', 'F', 'batch size', 'error', [*bars, *fits], scale)
    bars_of_a, a, bars_of_b, b, fit, _ = figure.figure(drawing)['data']
    assert a['x'] == b['x'] == x and fit['x'] == [32, 100, 512]
    assert 'error_y' in bars_of_a and 'error_y' not in a and a['showlegend']
    for left, true, right in zip(bars_of_a['x'], x, bars_of_b['x']):
        assert left < true < right < left + 0.1 * true + 3
    numbers = list(csv.reader(paper.save(drawing, tmp_path)['csv'].read_text().splitlines()))
    assert [row[2] for row in numbers[1:4]] == ['32', '64', '512']  # the numbers are the true ones
    other = Series('b', [48], [1], [0], [2], 'points')
    alone = figure.figure(drawing._replace(series=[bars[0], other]))['data']
    assert alone[0]['x'] == x and alone[2]['x'] == [48]


OPTIMIZERS = ('sgd', 'momentum', 'lookahead', 'lars', 'lamb', 'novograd', 'adamw')


def test_what_has_no_order_is_told_apart_by_hue_and_batch_sizes_are_a_scale():
    seven = [Series(name, [0, 1], [0, 1]) for name in OPTIMIZERS]
    styles = style.styles(Figure('f', 'F', 'x', 'y', seven))
    assert [drawn.colour for drawn in styles.values()] == list(style.CATEGORIES[:7])
    sizes = [Series(f'B {2**i}', [0, 1], [0, 1]) for i in range(7)]
    styles = style.styles(Figure('f', 'F', 'x', 'y', sizes))
    assert styles['B 1'].colour == colours.ORDERED[0]
    assert styles['B 64'].colour == colours.ORDERED[-1]
    # by the value's logarithm, whatever lies between
    uneven = [Series(f'B {size}', [0, 1], [0, 1]) for size in (1, 2, 8, 16, 20, 32, 64)]
    assert style.styles(Figure('f', 'F', 'x', 'y', uneven))['B 8'].colour == colours.ORDERED[3]
    assert len(set(style.CATEGORIES)) == len(style.CATEGORIES)


def test_an_optimizer_has_one_colour_in_all_figures_of_a_report():
    def drawing(*names):
        return Figure('f', 'F', 'x', 'y', [Series(name, [0, 1], [0, 1]) for name in names])

    steps = drawing(*OPTIMIZERS, 'perfect scaling')
    rates = drawing('linear rule', *reversed(OPTIMIZERS))
    paths = drawing('B 32', 'B 64')
    shared = style.shared_colours([steps, rates, paths])
    assert set(shared) == set(OPTIMIZERS)
    drawn = [style.styles(each, shared) for each in (steps, rates)]
    for name in OPTIMIZERS:
        assert drawn[0][name].colour == drawn[1][name].colour
    for of_figure in drawn:
        colours = [group.colour for group in of_figure.values()]
        assert len(set(colours)) == len(colours)
    # more than there are colours: each figure has its own
    many = drawing(*map(chr, range(97, 97 + len(style.CATEGORIES) + 1)))
    assert style.shared_colours([many, many]) == {}


def test_hundreds_of_lines_become_one_trace_a_group_and_a_short_legend():
    lines = [Series(f'{i}', [0, 1], [i, i + 1], group=f'g{i % 40}') for i in range(400)]
    traces = figure.figure(Figure('f', 'F', 'x', 'y', lines))['data']
    assert len(traces) == 40 and sum(trace['showlegend'] for trace in traces) == style.LEGEND
    assert len({trace['line']['color'] for trace in traces}) == 40
    drawn = next(trace for trace in traces if trace['name'] == 'g3')['y']
    assert drawn[:6] == [3, 4, None, 43, 44, None] and len(drawn) == 30


def test_only_values_that_cannot_be_drawn_and_a_single_point(tmp_path):
    for number, series in enumerate(
        ([], [Series('nan', [1, 2], [math.nan] * 2)], [Series('one', [1], [2])])
    ):
        drawing = Figure(f'edge{number}', 'Edge', 'x', 'y', series, y_scale='log')
        paths = paper.save(drawing, tmp_path)
        assert paths['png'].stat().st_size > 1000 and paths['pdf'].stat().st_size > 1000
        assert len(paths['csv'].read_text().splitlines()) == 1 + sum(len(one.x) for one in series)
        json.dumps(figure.figure(drawing), allow_nan=False)


@pytest.mark.parametrize(
    'x', [[0.0015, 0.003, 0.006, 0.0125, 0.025], [0.5, 0.7], [0.01, 0.9], [1e-6, 1e3]]
)
def test_numbers_along_logarithmic_axes_do_not_overlap(x):
    """Over a decade and a bit matplotlib's own labels at 2, 3, 4 and 6 run into each other."""
    from matplotlib.figure import Figure as Page

    page, lines = Page(figsize=(5.2, 3.4)), [Series('a', x, x), Series('b', x, x)]
    paper._draw(page, Figure('f', 'F', 'gamma / B', 'v', lines, x_scale='log', y_scale='log'))
    page.draw_without_rendering()
    (axes,) = page.axes
    for axis, side in ((axes.xaxis, 0), (axes.yaxis, 1)):
        low, high = sorted(axis.get_view_interval())
        labels = [tick.label1 for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]]
        shown = [
            one for one in labels if one.get_text() and low <= one.get_position()[side] <= high
        ]
        ends = sorted(tuple(one.get_window_extent().get_points()[:, side]) for one in shown)
        assert len(ends) >= 2
        assert all(first[1] < second[0] for first, second in itertools.pairwise(ends)), [
            t.get_text() for t in shown
        ]


@pytest.mark.parametrize(
    'change, message',
    [
        ({'x_scale': 'logarithmic'}, "'linear' or 'log'"),
        ({'series': [Series('s', [1, 2], [1])]}, r'lengths \[1, 2\]'),
        ({'series': [Series('s', [1], [1], style='dots')]}, "'dots'"),
        ({'series': [Series('s', [1], [1], low=[0])]}, 'both low and high'),
        ({'series': [Series('s', [1], [1], style='band')]}, 'both low and high'),
    ],
)
def test_a_figure_that_cannot_be_drawn_says_why(tmp_path, change, message):
    for draw in (figure.figure, lambda drawing: paper.save(drawing, tmp_path)):
        with pytest.raises(ValueError, match=message):
            draw(EVERY._replace(**change))


# The page


def test_named_places_stand_along_the_axis(tmp_path):
    drawing = Figure(
        'f',
        't',
        '',
        'y',
        [Series('s', [0, 1], [1.0, 2.0], style='points')],
        places=['small', '<large>'],
    )
    axis = figure.figure(drawing)['layout']['xaxis']
    assert axis['tickvals'] == [0, 1] and axis['ticktext'] == ['small', '&lt;large&gt;']
    assert all(path.stat().st_size for path in paper.save(drawing, tmp_path).values())


@pytest.mark.parametrize(('rates', 'mode'), [([1e-3, 1e-3], 'tozero'), ([1e-3, 2e-3], None)])
def test_a_constant_is_read_from_its_axis(rates, mode):
    """By itself plotly shows 1 to each side of it: 0.001 looks like 0."""
    drawing = Figure('f', 't', 'x', 'y', [Series('s', [0, 1], rates), Series('t', [0, 1], rates)])
    assert figure.figure(drawing)['layout']['yaxis'].get('rangemode') == mode
