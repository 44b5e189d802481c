"""The report from outside: curves, tables, figures, the page's source, and the page in a browser."""

import csv
import html.parser
import io
import itertools
import json
import math
import re
import shutil
import subprocess

import numpy as np
import pytest
from rich.console import Console

from lbexp import results
from lbexp.analysis import Analysis, Claim, Figure, Series, Table, interval
from lbexp.report import claims, curves, figure, looks, table
from lbexp.report.page import page

NASTY = '</script><script>document.title="broken"</script><b>&"\''


def sweep(folder, rates=(0.1, 0.2), seeds=3, steps=40, diverged=(), environment=None, config=None):
    """A workdir of rates x seeds trials; trial t has loss (1 + t) / step, null from step 20 on if diverged."""
    folder.mkdir(parents=True, exist_ok=True)
    own = [{'optimizer.learning_rate': rate, 'seed': seed} for rate in rates for seed in range(seeds)]
    rows = []
    for step in range(1, steps + 1):
        for trial in range(len(own)):
            gone = trial in diverged and step >= 20
            if gone and step > 20:
                continue
            row = {'trial': trial, 'step': step, 'examples': 32 * step, 'epoch': step / 10, 'wall_time': step / 100}
            row |= {'loss': None if gone else (1 + trial) / step, 'accuracy': 1 - 0.5 / step, 'learning_rate': 0.1}
            if step % 10 == 0:
                row |= {'test_loss': None if gone else (2 + trial) / step, 'test_accuracy': 0.9 + trial / 100}
            rows.append(row)
    (folder / 'metrics.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    config = {'optimizer': {'name': 'lamb', 'b1': 0.9}, 'workload': {'name': 'digits_mlp'}, 'seed': 0} | (config or {})
    trials = [{'trial': trial, 'overrides': one} for trial, one in enumerate(own)]
    content = {
        'config': config,
        'trials': trials,
        'environment': environment or {'jax': '0.10.2', 'git_commit': 'abc123'},
    }
    (folder / 'config.json').write_text(json.dumps(content))
    states = {str(t): {'status': 'diverged' if t in diverged else 'done', 'step': steps} for t in range(len(own))}
    (folder / 'status.json').write_text(json.dumps({'status': 'done', 'trials': states}))
    return folder


class Source(html.parser.HTMLParser):
    """Text, and what a page would load."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.words, self.tags, self._tag = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._tag = tag
        if tag != 'a':
            self.loads += [value for name, value in attrs if name in ('src', 'href', 'data', 'srcset')]

    def handle_data(self, data):
        if self._tag not in ('script', 'style'):
            self.words.append(data)

    @property
    def text(self):
        return ' '.join(self.words)


# Curves


def test_every_trial_has_a_curve_with_its_rows(tmp_path):
    rows = results.read(sweep(tmp_path))
    drawn = {one.name: one for one in curves.curves(rows)}
    assert list(drawn) == ['loss', 'test_loss', 'accuracy', 'test_accuracy', 'learning_rate']
    loss = drawn['loss']
    assert len(loss.series) == 6 and loss.caption == '' and loss.y_scale == 'log'
    for trial, series in enumerate(loss.series):
        assert list(series.x) == list(range(1, 41))
        assert np.allclose(series.y, (1 + trial) / np.arange(1, 41))
        assert series.group == f'learning_rate {(0.1, 0.2)[trial // 3]}'
        assert f'trial {trial}' in series.name and f'seed {trial % 3}' in series.name
    assert list(drawn['test_loss'].series[0].x) == [10, 20, 30, 40]
    assert list(curves.curves(rows, 'examples')[0].series[0].x) == list(range(32, 1281, 32))


def test_a_diverged_trial_ends_with_a_mark(tmp_path):
    loss = curves.curves(results.read(sweep(tmp_path, diverged=[4])))[0]
    mark = loss.series[-1]
    assert (mark.name, mark.style, list(mark.x)) == ('diverged', 'points', [19])
    assert mark.y[0] == pytest.approx(5 / 19) and len(loss.series) == 7
    assert max(loss.series[4].x) == 19


def test_long_curves_keep_their_spikes_and_say_so(tmp_path):
    values = np.linspace(2, 1, 50_000)
    values[[12_345, 30_001]] = 50, 0.001
    rows = {'workdir': np.full(50_000, 'w', object), 'trial': np.zeros(50_000, int), 'step': np.arange(50_000)}
    drawn = curves.curves(rows | {'loss': values})[0]
    (series,) = drawn.series
    assert len(series.x) <= curves.POINTS and series.x[0] == 0 and series.x[-1] == 49_999
    assert max(series.y) == 50 and min(series.y) == 0.001
    assert np.array_equal(values[series.x], series.y) and np.all(np.diff(series.x) > 0)
    assert f'At most {curves.POINTS} rows of a trial' in drawn.caption


def test_of_many_trials_best_and_worst_are_drawn_and_the_number_is_told(tmp_path):
    count = 2000
    last = np.random.default_rng(0).permutation(count) + 1.0
    rows = {'workdir': np.full(2 * count, 'w', object), 'trial': np.repeat(np.arange(count), 2)}
    rows |= {'step': np.tile([1, 2], count), 'loss': np.stack([np.full(count, 9.0), last], 1).ravel()}
    drawn = curves.curves(rows)[0]
    ends = [series.y[-1] for series in drawn.series]
    assert len(ends) == curves.LINES and min(ends) == 1 and max(ends) == count
    assert np.median(ends) == pytest.approx(count / 2, rel=0.02)
    assert f'{curves.LINES} of {count} trials are drawn' in drawn.caption


def test_a_schedule_is_drawn_on_a_linear_axis_unless_trials_are_far_apart():
    rows = {'workdir': np.full(8, 'w', object), 'trial': np.repeat([0, 1], 4), 'step': np.tile([1, 2, 3, 4], 2)}
    schedule = np.array([0.1, 1, 0.5, 1e-6])
    for factor, scale in ((2, 'linear'), (100, 'log')):
        rates = {'learning_rate': np.concatenate([schedule, factor * schedule])}
        assert curves.curves(rows | rates)[0].y_scale == scale


def test_no_rows_no_figures_and_one_row_is_a_point(tmp_path):
    assert curves.curves(results.read(sweep(tmp_path / 'none', steps=0))) == []
    (tmp_path / 'none' / 'report.html').unlink(missing_ok=True)
    drawn = curves.curves(results.read(sweep(tmp_path / 'one', rates=(0.1,), seeds=1, steps=1)))[0]
    assert figure.figure(drawn)['data'][0]['mode'] == 'markers'


# The closing table


def test_medians_and_intervals_over_seeds_without_diverged_trials(tmp_path):
    finals = results.final(sweep(tmp_path, seeds=5, diverged=[7]))
    content = table.table(finals, ['test_loss'])
    assert content.columns == ['learning_rate', 'trials', 'test loss']
    assert [row[:2] for row in content.rows] == [['0.1', '5'], ['0.2', '4 of 5 (1 diverged)']]
    for row, trials in zip(content.rows, ([0, 1, 2, 3, 4], [5, 6, 8, 9])):
        expected = interval([(2 + trial) / 40 for trial in trials])
        told = [float(number) for number in re.findall(r'[\d.]+', row[2])]
        assert told == pytest.approx(expected, abs=0.006)
    assert 'not averaged in' in content.caption


def test_one_trial_has_a_value_and_no_interval(tmp_path):
    content = table.table(results.final(sweep(tmp_path, rates=(0.1,), seeds=1)))
    assert content.rows == [['0.1', '1', '0.025', '0.9875', '0.05', '0.9']] and 'no interval' in content.caption


def test_the_accuracy_of_a_diverged_trial_is_not_averaged_in_though_finite(tmp_path):
    finals = results.final(sweep(tmp_path, rates=(0.1,), seeds=2, diverged=[0]))
    assert finals['accuracy'].tolist() == [1 - 0.5 / 20, 1 - 0.5 / 40]
    assert table.table(finals, ['accuracy']).rows == [['0.1', '1 of 2 (1 diverged)', '0.9875']]


def test_a_configuration_that_diverged_altogether_has_no_value(tmp_path):
    content = table.table(results.final(sweep(tmp_path, seeds=2, diverged=[2, 3])), ['loss'])
    assert content.rows[1] == ['0.2', '0 of 2 (2 diverged)', '–']


def test_the_table_in_the_terminal_shows_markup_as_text():
    console = Console(file=io.StringIO(), width=100)
    table.show(Table('Title', ['[red]name', 'x'], [['[bold]a', 0.123456], ['[/b]', None]], '[caption]'), console)
    for word in ('Title', '[red]name', '[bold]a', '0.12346', '[/b]', '[caption]'):
        assert word in console.file.getvalue()


@pytest.mark.parametrize('width', [80, 140])
def test_the_closing_table_fits_the_terminal_with_every_number(tmp_path, width):
    content = table.table(results.final(sweep(tmp_path, seeds=5, diverged=[7])))
    console = Console(file=io.StringIO(), width=width)
    table.show(content, console)
    printed = console.file.getvalue()
    assert max(map(len, printed.splitlines())) <= width and '…' not in printed
    words = printed.split()
    for row in content.rows:
        assert all(word in words for cell in row for word in cell.split())


# Figures

EVERY = Figure(
    'every',
    'Every style',
    'batch <size>',
    'steps',
    [
        Series('line', [1, 10, 100], [3, math.nan, 1]),
        Series('in a band', [1, 10, 100], [3, 2, 1], [2, 1, 0.5], [4, 3, 2]),
        Series('points', [1, 10], [3, 2], [2, 1.5], [5, 2.5], style='points'),
        Series('band', [1, 100], [2, 2], [1, 1], [3, 3], style='band', group='shared'),
        Series('single', [5], [1]),
    ],
    x_scale='log',
    y_scale='log',
)


def test_plotly_takes_the_figure_and_finds_the_numbers():
    from plotly.graph_objects import Figure as Plotly

    drawn = Plotly(figure.figure(EVERY))
    assert drawn.layout.xaxis.type == drawn.layout.yaxis.type == 'log'
    named = {trace.name: trace for trace in drawn.data if trace.showlegend}
    assert list(named) == ['line', 'in a band', 'points', 'shared', 'single']
    assert list(named['line'].y) == [3, None, 1]
    assert list(named['points'].error_y.array) == [2, 0.5] and list(named['points'].error_y.arrayminus) == [1, 0.5]
    band = [trace for trace in drawn.data if trace.legendgroup == 'in a band']
    assert [list(trace.y) for trace in band] == [[2, 1, 0.5], [4, 3, 2], [3, 2, 1]]
    assert band[1].fill == 'tonexty' and not band[1].showlegend
    assert '&lt;size&gt;' in drawn.layout.xaxis.title.text
    assert len({trace.line.color for trace in named.values() if trace.mode == 'lines' and not trace.fill}) == 2


def test_batch_sizes_are_the_ticks_of_their_axis(tmp_path):
    lines = [Series('lamb', [16, 32, 64, 1024], [4, 3, 2, 1]), Series('rule', [16, 20], [4, 2])]
    drawing = Figure('f', 'F', 'batch size', 'steps', lines, x_scale='log')
    axis = figure.figure(drawing)['layout']['xaxis']
    assert axis['tickvals'] == [16, 32, 64, 1024] and axis['ticktext'] == ['16', '32', '64', '1024']
    fit = Series('fit', np.geomspace(16, 1024, 60), np.ones(60), group='lamb')
    measured = drawing._replace(series=[lines[0]._replace(style='points'), fit])
    assert figure.figure(measured)['layout']['xaxis']['tickvals'] == [16, 32, 64, 1024]
    for other in (drawing._replace(x_scale='linear'), drawing._replace(series=[Series('s', [1, 1.2, 0], [1, 1, 1])])):
        assert 'tickvals' not in figure.figure(other)['layout']['xaxis']


def test_ticks_between_powers_of_ten_are_whole_numbers():
    """Of an axis from 2e5 to 8e5 '5' would say nothing."""
    drawing = Figure('f', 'F', 'x', 'examples / s', [Series('s', [1, 2], [2e5, 8e5])], y_scale='log')
    assert figure.figure(drawing)['layout']['yaxis']['tickformat'] == '~g'
    wide = drawing._replace(series=[Series('s', [1, 2], [2e2, 8e5])])
    assert 'tickformat' not in figure.figure(wide)['layout']['yaxis']


def test_a_group_shares_a_colour_and_one_line_of_the_legend():
    lines = [Series(f'{group}{i}', [0, 1], [i, i], group=group) for i in range(4) for group in 'ab']
    traces = figure.figure(Figure('f', 'F', 'x', 'y', lines))['data']
    assert len(traces) == 8 and sum(trace['showlegend'] for trace in traces) == 2
    colours = {group: {trace['line']['color'] for trace in traces if trace['name'] == group} for group in 'ab'}
    assert len(colours['a']) == len(colours['b']) == 1 and colours['a'] != colours['b']


def traces_of(*series, **fields):
    drawn = figure.figure(Figure('f', 'F', 'batch size', 'error', list(series), **fields))['data']
    return {trace['name']: trace for trace in drawn if trace['showlegend']}


def test_lines_are_told_apart_in_grey():
    """By dashes where each group is one line; symbols do it elsewhere, and many lines a group stay plain."""
    lines = [Series(name, [0, 1], [i, i], [i - 1, i], [i, i + 1]) for i, name in enumerate('abcdef')]
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
    sizes = [t['marker']['size'] for t in traces_of(*(Series(n, [1], [1], style='points') for n in 'abc')).values()]
    assert sizes == sorted(set(sizes), reverse=True)


@pytest.mark.parametrize('scale', ['linear', 'log'])
def test_error_bars_of_two_groups_stand_side_by_side(tmp_path, scale):
    x = [32, 64, 128]
    bars = [Series(name, x, [1, 2, 3], [0, 1, 2], [2, 3, 4], 'points', name) for name in 'ab']
    lines = [Series(name, x, [1, 2, 3], group=name) for name in 'ab']
    drawing = Figure('f', 'F', 'batch size', 'error', [*bars, *lines], scale)
    a, b, line_of_a, _ = figure.figure(drawing)['data']
    assert all(left < true < right < left + 0.3 * 32 for left, true, right in zip(a['x'][:1], x, b['x']))
    assert line_of_a['x'] == a['x']  # a line goes through its own points
    assert a['customdata'] == x and '{customdata}' in a['hovertemplate']
    numbers = list(csv.reader(figure.save(drawing, tmp_path)[2].read_text().splitlines()))
    assert [row[2] for row in numbers[1:4]] == ['32', '64', '128']  # the numbers are the true ones
    alone = traces_of(bars[0], Series('b', [48], [1], [0], [2], 'points'), x_scale=scale)
    assert alone['a']['x'] == x and alone['b']['x'] == [48]


def test_hundreds_of_lines_become_one_trace_a_group_and_a_short_legend():
    lines = [Series(f'{i}', [0, 1], [i, i + 1], group=f'g{i % 40}') for i in range(400)]
    traces = figure.figure(Figure('f', 'F', 'x', 'y', lines))['data']
    assert len(traces) == 40 and sum(trace['showlegend'] for trace in traces) == looks.LEGEND
    assert len({trace['line']['color'] for trace in traces}) == 40
    drawn = next(trace for trace in traces if trace['name'] == 'g3')['y']
    assert drawn[:6] == [3, 4, None, 43, 44, None] and len(drawn) == 30


def test_files_for_paper_and_numbers(tmp_path):
    png, pdf, numbers = figure.save(EVERY, tmp_path / 'figures')
    assert png.read_bytes()[:8] == b'\x89PNG\r\n\x1a\n' and pdf.read_bytes()[:5] == b'%PDF-'
    assert {path.name for path in (png, pdf, numbers)} == {'every.png', 'every.pdf', 'every.csv'}
    rows = list(csv.reader(numbers.read_text().splitlines()))
    assert rows[0] == ['series', 'group', 'batch <size>', 'steps', 'low', 'high']
    assert rows[4] == ['in a band', 'in a band', '1', '3', '2', '4'] and len(rows) == 12
    from matplotlib.image import imread

    picture = imread(png)
    assert picture.shape[1] >= 800 and picture.std() > 0.05


@pytest.mark.parametrize('span', [(2, 9), (20, 500), (1, 1e5)])
def test_printed_labels_of_a_logarithmic_axis_do_not_overlap(span):
    from matplotlib import figure as canvas

    x = np.geomspace(*span, 30)
    page = canvas.Figure(figsize=(5.2, 3.4))
    figure._draw(page, Figure('f', 'F', 'x', 'y', [Series('s', x, x)], 'log', 'log'))
    page.canvas.draw()
    (axes,) = page.axes
    labels = [*axes.get_xticklabels(), *axes.get_xticklabels(minor=True)]
    boxes = [label.get_window_extent() for label in labels if label.get_text()]
    low, high = axes.bbox.x0 - 1, axes.bbox.x1 + 1
    shown = sorted((box.x0, box.x1) for box in boxes if low <= (box.x0 + box.x1) / 2 <= high)
    assert len(shown) >= 2 and all(left[1] < right[0] for left, right in itertools.pairwise(shown))


def test_only_values_that_cannot_be_drawn_and_a_single_point(tmp_path):
    for number, series in enumerate(([], [Series('nan', [1, 2], [math.nan] * 2)], [Series('one', [1], [2])])):
        drawing = Figure(f'edge{number}', 'Edge', 'x', 'y', series, y_scale='log')
        png, pdf, numbers = figure.save(drawing, tmp_path)
        assert png.stat().st_size > 1000 and pdf.stat().st_size > 1000
        assert len(numbers.read_text().splitlines()) == 1 + sum(len(one.x) for one in series)
        json.dumps(figure.figure(drawing), allow_nan=False)


@pytest.mark.parametrize('x', [[0.0015, 0.003, 0.006, 0.0125, 0.025], [0.5, 0.7], [0.01, 0.9], [1e-6, 1e3]])
def test_numbers_along_logarithmic_axes_do_not_overlap(x):
    """Over a decade and a bit matplotlib's own labels at 2, 3, 4 and 6 run into each other."""
    from matplotlib.figure import Figure as Page

    page, lines = Page(figsize=(5.2, 3.4)), [Series('a', x, x), Series('b', x, x)]
    figure._draw(page, Figure('f', 'F', 'gamma / B', 'v', lines, x_scale='log', y_scale='log'))
    page.draw_without_rendering()
    (axes,) = page.axes
    for axis, side in ((axes.xaxis, 0), (axes.yaxis, 1)):
        low, high = sorted(axis.get_view_interval())
        labels = [tick.label1 for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]]
        shown = [one for one in labels if one.get_text() and low <= one.get_position()[side] <= high]
        ends = sorted(tuple(one.get_window_extent().get_points()[:, side]) for one in shown)
        assert len(ends) >= 2
        assert all(first[1] < second[0] for first, second in itertools.pairwise(ends)), [t.get_text() for t in shown]


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
    for draw in (figure.figure, lambda drawing: figure.save(drawing, tmp_path)):
        with pytest.raises(ValueError, match=message):
            draw(EVERY._replace(**change))


# The page


def test_the_page_holds_everything_and_loads_nothing(tmp_path):
    analysis = Analysis(
        'Flat to <8192>', 'Error stays flat.', [Table('Steps & bounds', ['batch'], [[64]])], [EVERY], True
    )
    environment = {'jax': '0.10.2', 'command': 'python -m lbexp.main', 'devices': ['cpu:0', 'cpu:1']}
    path = page(sweep(tmp_path, diverged=[1], environment=environment), analysis)
    text = path.read_text()
    source = Source(text)
    assert path == tmp_path / 'report.html' and len(text) < 6e6
    assert source.loads == [] and not re.search(r'@import|url\(\s*["\']?http', text[: text.index('<script>')])
    assert text.count('* plotly.js v') == 1
    for words in (
        'Flat to <8192>',
        'Error stays flat.',
        'claim held',
        'Steps & bounds',
        '6 trials: 5 done, 1 diverged',
    ):
        assert words in source.text
    for words in (
        'Final metrics',
        '2 of 3 (1 diverged)',
        'optimizer.b1',
        '0.9',
        'cpu:1',
        'python -m lbexp.main',
        'diverged',
    ):
        assert words in source.text
    names = {'every', 'loss', 'test_loss', 'accuracy', 'test_accuracy', 'learning_rate'}
    files = {f'{name}.{kind}' for name in names for kind in ('png', 'pdf', 'csv')}
    assert {file.name for file in (tmp_path / 'figures').iterdir()} == files
    links = set(re.findall(r'<a href="([^"]+)"', text[: text.index('<script>')]))
    assert links == {f'figures/{name}' for name in files}
    assert not (tmp_path / 'report.html.part').exists()


def test_a_study_with_tables_of_its_own_folds_the_closing_table(tmp_path):
    path = page(sweep(tmp_path / 'own'), Analysis('T', 'V', [Table('Own', ['batch'], [[64]])], []))
    text = path.read_text()
    assert text.index('<h2>Own</h2>') < text.index('<details id="final"><summary><h2>Final metrics</h2>')
    assert '<details id="final">' not in page(sweep(tmp_path / 'none')).read_text()


def test_what_a_configuration_sets_is_short(tmp_path):
    """Parts by their names, nothing as a dash, long lists cut: in the closing table and in that of the trials."""
    folder = sweep(tmp_path, seeds=1)
    content = json.loads((folder / 'config.json').read_text())
    probes = [{'name': 'distance', 'origin': 'start'}, {'name': 'stationary_moments', 'burn_in': 456}]
    for trial in content['trials']:
        first = trial['trial'] == 0
        trial['overrides'] = {'probes': probes if first else [], 'spectrum': [0.125] * 99 if first else [1.0]}
    (folder / 'config.json').write_text(json.dumps(content))
    rows = table.table(results.final(folder)).rows
    assert rows[0][0] == 'distance, stationary_moments'
    assert len(rows[0][1]) == 48 and rows[0][1].startswith('[0.125, 0.125') and rows[0][1].endswith('…')
    assert rows[1][:2] == ['–', '[1.0]']
    assert 'burn_in' not in Source(page(folder).read_text()).text


def test_values_are_text_not_html(tmp_path):
    folder = sweep(tmp_path, rates=(NASTY,), seeds=1, config={'note': NASTY, NASTY: 1}, environment={'x': NASTY})
    source = Source(page(folder, Analysis(NASTY, NASTY, [Table(NASTY, [NASTY], [[NASTY]], NASTY)], [])).read_text())
    assert source.tags.count('script') == 3 and 'b' not in source.tags
    assert source.text.count(NASTY) >= 9


def test_a_claim_that_failed_a_run_without_rows_and_a_run_without_config(tmp_path):
    text = page(sweep(tmp_path / 'empty', steps=0), Analysis('T', 'No.', [], [], False)).read_text()
    assert 'claim failed' in Source(text).text and 'No row was recorded.' in Source(text).text
    folder = sweep(tmp_path / 'bare')
    (folder / 'config.json').unlink()
    (folder / 'status.json').unlink()
    text = Source(page(folder).read_text()).text
    assert '6 trials: 6 unknown' in text and 'Not recorded.' in text


def test_thousands_of_trials_stay_a_small_page(tmp_path):
    folder = sweep(tmp_path, rates=[i / 100 for i in range(1, 501)], seeds=4, steps=10)
    text = page(folder).read_text()
    words = Source(text).text
    assert len(text) < 6e6 and '2000 trials: 2000 done' in words
    assert '160 of 2000 trials are drawn' in words and '500 of 2000 trials' in words


def test_trials_of_different_batch_sizes_meet_at_equal_epochs(tmp_path):
    folder = sweep(tmp_path, seeds=1)
    content = json.loads((folder / 'config.json').read_text())
    for trial in content['trials']:
        trial['overrides'] = {'batch_size': 32 * (1 + trial['trial'])}
    (folder / 'config.json').write_text(json.dumps(content))
    page(folder)
    header = (folder / 'figures' / 'loss.csv').read_text().splitlines()[0]
    assert header == 'series,group,epochs,loss,low,high'


def browse(path, profile):
    """The page's document after its scripts ran, and what they said on the console."""
    browser = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    assert browser, 'this test opens the report in a browser: apt-get install chromium'
    command = [browser, '--headless=new', '--no-sandbox', '--disable-gpu', f'--user-data-dir={profile}']
    command += ['--enable-logging=stderr', '--virtual-time-budget=20000', '--dump-dom', path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    console = [line for line in done.stderr.splitlines() if 'CONSOLE' in line]
    return done.stdout, console


def test_a_browser_draws_every_curve_without_a_word_on_the_console(tmp_path):
    folder = sweep(tmp_path / 'run', diverged=[2], config={'note': NASTY})
    dom, console = browse(page(folder, Analysis('T', '', [], [EVERY])), tmp_path / 'profile')
    assert console == []
    assert '<title>T</title>' in dom
    drawn = dom.split('id="plot-')[1:]
    traces = [part.count('class="trace scatter trace') for part in drawn]
    assert traces == [8, 7, 7, 7, 7, 7], 'the study: five series, one in a band; then six trials and a mark'
    for part, expected in zip(drawn[1:], [6, 5, 6, 6, 6], strict=True):  # one test loss: a point
        layer = part[part.index('class="scatterlayer') : part.index('class="legend"')]
        lines = re.findall(r'class="js-line"[^>]* d="(M[^"]*)"', layer)
        assert len(lines) == expected and all('L' in line for line in lines)


def test_a_figure_of_the_study_named_like_a_metric_keeps_its_files(tmp_path):
    workdir = sweep(tmp_path)
    own = Figure('loss', 'Mine', 'x', 'y', [Series('only', [1.0, 2.0], [3.0, 4.0])])
    page(workdir, Analysis('t', '', [], [own]))
    assert (workdir / 'figures' / 'loss.csv').read_text().splitlines()[1].startswith('only,')
    assert len((workdir / 'figures' / 'loss_curves.csv').read_text().splitlines()) > 3


def test_claims_stand_in_page_and_workdir(tmp_path):
    told = [Claim('A | claim', 'measured <0.1>', 'reproduced'), Claim('Another', 'x', 'undecided at this budget')]
    analysis = Analysis('Study', 'It holds.', [], [], None, told)
    text = page(sweep(tmp_path), analysis).read_text()
    assert 'A | claim' in text and 'measured &lt;0.1&gt;' in text and 'undecided at this budget' in text
    claims.write(tmp_path, analysis)
    lines = (tmp_path / 'claims.md').read_text().splitlines()
    assert lines[0] == '# Study' and '| A \\| claim | measured <0.1> | reproduced |' in lines
    claims.write(tmp_path / 'nowhere', analysis._replace(claims=()))  # without claims there is nothing to write
    assert claims.claims(analysis._replace(claims=())) == []


def test_named_places_stand_along_the_axis(tmp_path):
    drawing = Figure('f', 't', '', 'y', [Series('s', [0, 1], [1.0, 2.0], style='points')], places=['small', '<large>'])
    axis = figure.figure(drawing)['layout']['xaxis']
    assert axis['tickvals'] == [0, 1] and axis['ticktext'] == ['small', '&lt;large&gt;']
    assert all(path.stat().st_size for path in figure.save(drawing, tmp_path))
