"""Names in rows and configurations as names of files, titles and groups: whatever they are."""

import json

import numpy as np
import pytest
from reports import sweep

from lbexp import config as configs
from lbexp import results
from lbexp.analysis import Analysis, Figure, Series
from lbexp.config.check import check
from lbexp.report import curves, page, paper, table
from lbexp.report.file_names import file_names
from lbexp.studies.training import training

NAMES = [
    'train/loss',
    '../../out',
    '/abs',
    'loss',
    'Loss',
    'LOSS_2',
    '$\\frac$',
    '',
    '.hidden',
    'x' * 300,
    'a b:*?"<>|',
]


def test_file_names_are_safe_and_differ_in_more_than_case():
    files = file_names(NAMES)
    assert (
        files[:5] == ['train_loss', '_.._out', '_abs', 'loss', 'Loss_2'] and files[5] == 'LOSS_2_2'
    )
    assert len({file.lower() for file in files}) == len(NAMES)
    assert all(
        set(file) <= set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-')
        for file in files
    )
    assert all(file and not file.startswith('.') and len(file) < 120 for file in files)
    assert file_names(['test_loss', 'a-b.c']) == ['test_loss', 'a-b.c']


def test_a_report_writes_in_its_folder_alone_whatever_metrics_are_named(tmp_path, monkeypatch):
    workdir = sweep(tmp_path / 'deep' / 'w', rates=(0.1,), seeds=1, steps=2)
    rows = [{'trial': 0, 'step': step, **dict.fromkeys(NAMES[:8], step + 0.5)} for step in (1, 2)]
    (workdir / 'metrics.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    before = set(tmp_path.rglob('*'))
    mine = Figure('../mine', 'Mine', 'x', 'y', [Series('$a', [1, 2], [1, 2])])
    text = page.page(workdir, Analysis('t', '', [], [mine])).read_text()
    written = set(tmp_path.rglob('*')) - before
    folder = workdir / 'figures'
    assert written - {folder, workdir / 'report.html'} == {
        path for path in folder.rglob('*') if path.is_file()
    }
    linked = {
        part.partition('"')[0] for part in text.split('href="')[1:] if part.startswith('figures/')
    }
    assert len(linked) == 27 and all((workdir / link).is_file() for link in linked)
    assert 'Train/loss' in text and '../../out' in text


def test_a_folder_of_figures_that_leads_elsewhere_is_refused(tmp_path):
    workdir = sweep(tmp_path / 'w', rates=(0.1,), seeds=1, steps=2)
    (tmp_path / 'elsewhere').mkdir()
    (workdir / 'figures').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(ValueError, match='figures: found a link out of the workdir'):
        page.page(workdir)
    (workdir / 'figures').unlink()
    page.page(workdir, figure_formats=())
    assert not any((tmp_path / 'elsewhere').iterdir())


def test_text_between_dollars_is_text(tmp_path):
    drawing = Figure(
        'f', '$\\bad', 'a $ b $', '$\\x$', [Series('$\\y$', [1, 2], [1, 2]), Series('b', [1], [2])]
    )
    paper.save(drawing, tmp_path)
    paper.save(drawing._replace(places=['$\\z$', 'w', 'v']), tmp_path)


def test_a_sweep_over_none_and_a_number_has_a_curve_for_each(tmp_path):
    workdir = sweep(tmp_path, rates=(0.1, 0.2), seeds=1, steps=4)
    document = json.loads((workdir / 'config.json').read_text())
    for entry, norm in zip(document['trials'], (None, 1.0), strict=True):
        entry['overrides'] = {'optimizer.max_gradient_norm': norm}
    (workdir / 'config.json').write_text(json.dumps(document))
    (loss, *_) = curves.curves(results.read(workdir))
    assert {one.group for one in loss.series} == {'none', 'max_gradient_norm 1'}
    page.page(workdir, figure_formats=())


def same_twice(folder):
    """Two rates of two seeds, of which a person asked twice for everything of the first rate."""
    workdir = sweep(folder, rates=(0.1, 0.2, 0.3), seeds=2, steps=10)
    document = json.loads((workdir / 'config.json').read_text())
    for entry in document['trials'][4:]:
        entry['overrides']['optimizer.learning_rate'] = 0.1
    (workdir / 'config.json').write_text(json.dumps(document))
    return workdir


def test_a_configuration_that_is_there_twice_counts_once(tmp_path):
    content = table.table(results.final(same_twice(tmp_path)))
    assert [row[-1] for row in content.rows] == ['2', '2'] and '2 trials repeat' in content.caption
    assert (
        content.rows[0][1]
        == table.table(results.final(sweep(tmp_path / 'x', seeds=2, steps=10))).rows[0][1]
    )


@pytest.mark.parametrize(
    'values, wrong',
    [
        ((0.1, 0.1), '0.1'),
        ((1, 1.0), '1.0'),
        ((1, 2), ''),
        ((None, None), 'None'),
        ((0.1, 0.2), ''),
        ((dict(name='sgd'), dict(name='sgd')), "{'name': 'sgd'}"),
        (((1, 2), [1, 2]), '[1, 2]'),
        (('1', 1), ''),
    ],
)
def test_the_check_refuses_a_value_twice_in_one_axis(values, wrong):
    config = configs.base()
    config.sweep = (('optimizer.learning_rate', values),)
    found = [problem for problem in check(config) if 'twice' in problem]
    assert len(found) == bool(wrong) and all(
        f'sweep[0]: found {wrong} twice' in problem for problem in found
    )


def test_points_of_several_paths_are_compared_as_points():
    config = configs.base()
    config.sweep = ((('seed', 'batch_size'), ((0, 32), (0, 64), (1, 32), (0, 32))),)
    assert [problem for problem in check(config) if 'twice' in problem] == [
        'sweep[0]: found 0, 32 twice; allowed: a value once'
    ]


def test_a_diverged_trial_is_never_the_best_and_reaches_nothing(tmp_path):
    workdir = sweep(
        tmp_path, rates=(0.1,), seeds=3, steps=20, config={'workload': {'name': 'digits_mlp'}}
    )
    lines = [json.loads(line) for line in (workdir / 'metrics.jsonl').read_text().splitlines()]
    for row in lines:
        # the first diverges, after its best evaluation
        row['test_accuracy'] = {0: 0.999, 1: 0.5, 2: 0.9}[row['trial']]
    (workdir / 'metrics.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in lines))
    told = training().analyse(workdir).verdict
    assert 'the best has 0.9990' in told
    states = {str(t): {'status': 'diverged' if t == 0 else 'done', 'step': 20} for t in range(3)}
    (workdir / 'status.json').write_text(json.dumps({'status': 'done', 'trials': states}))
    told = training().analyse(workdir).verdict
    assert 'the best has 0.9000' in told and told.startswith('0 of 3 trials')
    states = {number: {'status': 'diverged', 'step': 20} for number in states}
    (workdir / 'status.json').write_text(json.dumps({'status': 'done', 'trials': states}))
    assert 'none has a result' in training().analyse(workdir).verdict
    assert np.isfinite(results.final(workdir)['test_accuracy']).all()
