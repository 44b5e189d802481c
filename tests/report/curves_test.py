"""The curves of a report: which trials and rows are drawn, and what is said of the others."""

import json

import numpy as np
import pytest
from reports import sweep

from lbexp import results
from lbexp.analysis import Figure, Series
from lbexp.report import curves, figure


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
    rows = {
        'workdir': np.full(50_000, 'w', object),
        'trial': np.zeros(50_000, int),
        'step': np.arange(50_000),
    }
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
    rows |= {
        'step': np.tile([1, 2], count),
        'loss': np.stack([np.full(count, 9.0), last], 1).ravel(),
    }
    drawn = curves.curves(rows)[0]
    ends = [series.y[-1] for series in drawn.series]
    assert len(ends) == curves.LINES and min(ends) == 1 and max(ends) == count
    assert np.median(ends) == pytest.approx(count / 2, rel=0.02)
    assert f'{curves.LINES} of {count} trials are drawn' in drawn.caption


def test_a_schedule_is_drawn_on_a_linear_axis_unless_trials_are_far_apart():
    rows = {
        'workdir': np.full(8, 'w', object),
        'trial': np.repeat([0, 1], 4),
        'step': np.tile([1, 2, 3, 4], 2),
    }
    schedule = np.array([0.1, 1, 0.5, 1e-6])
    for factor, scale in ((2, 'linear'), (100, 'log')):
        rates = {'learning_rate': np.concatenate([schedule, factor * schedule])}
        assert curves.curves(rows | rates)[0].y_scale == scale


def test_no_rows_no_figures_and_one_row_is_a_point(tmp_path):
    assert curves.curves(results.read(sweep(tmp_path / 'none', steps=0))) == []
    (tmp_path / 'none' / 'report.html').unlink(missing_ok=True)
    drawn = curves.curves(results.read(sweep(tmp_path / 'one', rates=(0.1,), seeds=1, steps=1)))[0]
    assert figure.figure(drawn)['data'][0]['mode'] == 'markers'


def test_curves_of_a_study_are_grouped_by_arm(tmp_path):
    folder = sweep(tmp_path, rates=(0.1, 0.2, 0.3), seeds=2)
    content = json.loads((folder / 'config.json').read_text())
    for trial in content['trials']:
        arm = 'small' if trial['trial'] < 4 else 'large'
        trial['tags'] = [{'arm': arm, 'phase': 'tuning', 'point': trial['trial']}]
    (folder / 'config.json').write_text(json.dumps(content))
    loss = curves.curves(results.read(folder))[0]
    assert [series.group for series in loss.series] == ['small'] * 4 + ['large'] * 2
    assert {series.value for series in loss.series} == {None}


def test_a_legend_names_what_differs_and_not_what_follows_from_it(tmp_path):
    folder = sweep(tmp_path, rates=(0.1, 0.2, 0.3), seeds=1)
    content = json.loads((folder / 'config.json').read_text())
    for trial, size in zip(content['trials'], (64, 128, 256), strict=True):
        trial['overrides'] = {'batch_size': size, 'microbatch': size // 2, 'steps': 4096 // size}
    (folder / 'config.json').write_text(json.dumps(content))
    loss = curves.curves(results.read(folder))[0]
    assert [series.group for series in loss.series] == [f'batch_size {n}' for n in (64, 128, 256)]
    assert [series.value for series in loss.series] == [64, 128, 256]


def test_no_legend_has_more_than_eight_entries():
    for names in (list('abcdefghij'), [f'rate {n}' for n in range(1, 13)], list('abcdefghijklmn')):
        lines = [Series(name, [0, 1], [0, 1]) for name in names]
        traces = figure.figure(Figure('f', 'F', 'x', 'y', lines))['data']
        assert sum(trace['showlegend'] for trace in traces) == 8


def test_metrics_that_a_workload_adds_are_drawn_before_those_of_probes():
    rows = {
        'workdir': np.full(4, 'w', object),
        'trial': np.zeros(4, int),
        'step': np.arange(4),
    }
    rows |= dict.fromkeys([f'probe_{n}' for n in range(9)], np.arange(4.0))
    rows |= dict.fromkeys(['loss', 'test_loss', 'test_perplexity'], np.arange(4.0))
    names = [drawing.name for drawing in curves.curves(rows, target='perplexity')]
    assert names[0] == 'test_perplexity'
    names = [drawing.name for drawing in curves.curves(rows)]
    assert names[:4] == ['loss', 'test_loss', 'test_perplexity', 'probe_0']
