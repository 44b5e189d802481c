"""Runs side by side: curves, differences paired by seed, differences in configuration; and the
report of a workdir, written anew at any time."""

import json
import math

import numpy as np
import pytest
from reports import NASTY, Source, sweep
from scipy import stats

from lbexp import compare
from lbexp.errors import Refusal
from lbexp.report import comparison
from lbexp.report.__main__ import main as report_main

RATES = (0.1, 0.2)


def edit(folder, name, change):
    """A document of a workdir, changed."""
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))


def add(folder, amounts):
    """Adds to the last test accuracy of each trial its amount."""
    rows = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
    for row in rows:
        if row['step'] == 40:
            row['test_accuracy'] += amounts[row['trial']]
    (folder / 'metrics.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return folder


@pytest.fixture
def runs(tmp_path):
    """Three runs of two rates and three seeds; of the second trial 1 diverged."""
    sweep(tmp_path / 'runs' / 'a', RATES)
    second = sweep(tmp_path / 'runs' / 'b', RATES, config={'optimizer': {'name': 'lars'}})
    add(second, [0.01, 0.02, 0.06, -0.01, -0.02, -0.03])
    sweep(tmp_path / 'runs' / 'c', RATES, diverged=[1], environment={'jax': '0.12.0'})
    return tmp_path / 'runs'


def of(tables, title):
    return next(table for table in tables if table.title == title)


def test_differences_are_paired_by_seed_and_by_what_varies_within_a_run(runs):
    compared = comparison.comparison([runs / 'a', runs / 'b', runs / 'c'])
    assert list(compared.names.values()) == ['a', 'b', 'c']
    table = comparison.paired(compared)
    rows = {(row[0], row[1]): row for row in table.rows if row[2] == 'test accuracy'}
    assert len(rows) == 4 and table.columns[1] == 'learning_rate'
    for (name, rate), (effects, p) in {
        ('b', '0.1'): ([0.01, 0.02, 0.06], 0.25),
        ('b', '0.2'): ([-0.01, -0.02, -0.03], 0.25),
    }.items():
        _, _, _, pairs, diverged, difference, alone, _ = rows[name, rate]
        mean = np.mean(effects)
        half = stats.t.ppf(0.975, 2) * np.std(effects, ddof=1) / math.sqrt(3)
        assert (pairs, diverged, float(alone)) == (3, 0, p)
        assert difference == f'{mean:+.4g} [{mean - half:+.4g}, {mean + half:+.4g}]'
    # of three, one diverged; the others are equal
    assert rows['c', '0.1'][3:6] == [2, 1, '+0 [+0, +0]']


def test_a_seed_that_the_other_run_has_not_makes_no_pair(tmp_path):
    sweep(tmp_path / 'a', (0.1,), seeds=3)
    other = sweep(tmp_path / 'b', (0.1,), seeds=3)

    def reverse(content):
        for entry, seed in zip(content['trials'], (9, 2, 1)):
            entry['overrides']['seed'] = seed

    edit(other, 'config.json', reverse)
    add(other, [0.5, 0.1, 0.1])  # of seeds 9, 2, 1, where a has 0.90, 0.91, 0.92 of 0, 1, 2
    table = comparison.paired(comparison.comparison([tmp_path / 'a', tmp_path / 'b']))
    row = next(row for row in table.rows if row[1] == 'test accuracy')
    assert row[2] == 2 and row[4].startswith('+0.1 [')


def test_what_differs_between_configurations_and_environments(runs):
    tables = comparison.tables(comparison.comparison([runs / 'a', runs / 'b', runs / 'c']))
    assert of(tables, 'Configuration').rows == [
        ['optimizer.name', 'lamb', 'lars', 'lamb'],
        ['optimizer.b1', '0.9', '–', '0.9'],
    ]
    environment = of(tables, 'Environment').rows
    assert ['jax', '0.10.2', '0.10.2', '0.12.0'] in environment
    final = of(tables, 'Final metrics')
    assert [row[:2] for row in final.rows][:2] == [['a', '0.1'], ['a', '0.2']]
    assert len(final.rows) == 6


def test_the_command_draws_one_page(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in runs.rglob('*') if path.is_file()}
    assert compare.main(['', 'runs/*', '--figures=']) == 0
    printed = capsys.readouterr().out
    assert 'Paired differences' in printed and 'report: comparison/report.html' in printed
    page = Source((tmp_path / 'comparison' / 'report.html').read_text())
    assert page.loads == [] and 'a and b and c' in page.text
    curves = (tmp_path / 'comparison' / 'figures' / 'loss.csv').read_text().splitlines()
    groups = {line.split('"')[3] for line in curves[1:] if line.count('"') > 3}
    assert groups >= {'run a, learning_rate 0.1', 'run c, learning_rate 0.2'}
    assert before == {path: path.read_bytes() for path in runs.rglob('*') if path.is_file()}


def test_one_run_a_workdir_as_target_and_what_is_not_there(runs, capsys, tmp_path):
    assert compare.main(['', str(runs / 'a')]) == 2
    assert 'found 1 workdir; allowed: two or more' in capsys.readouterr().err
    assert compare.main(['', str(runs), f'--to={runs}/a']) == 2
    assert 'found a workdir; allowed: another folder' in capsys.readouterr().err
    assert not (runs / 'a' / 'report.html').exists()
    assert compare.main(['', str(tmp_path / 'absent*'), str(runs)]) == 2
    assert 'is not a folder' in capsys.readouterr().err
    assert compare.main(['', str(runs), '--figures=gif']) == 2
    assert '--figures: found gif; allowed: png, pdf' in capsys.readouterr().err


def test_workdirs_are_data(tmp_path):
    """Text of a workdir is text on the page, nothing that it names runs, no link leads out."""
    config = {'optimizer': {'name': 'os:mkdir', 'path': str(tmp_path / 'executed')}, 'note': NASTY}
    sweep(tmp_path / 'mine', seeds=1)
    theirs = sweep(tmp_path / f'x{NASTY.replace("/", "")}', seeds=1, config=config)
    compared = comparison.comparison([tmp_path / 'mine', theirs])
    page = Source(comparison.write(compared, tmp_path / 'to', ()).read_text())
    assert page.tags.count('script') == 3 and 'b' not in page.tags and NASTY[:40] in page.text
    assert not (tmp_path / 'executed').exists()
    (theirs / 'metrics.jsonl').unlink()
    (theirs / 'metrics.jsonl').symlink_to(tmp_path / 'mine' / 'metrics.jsonl')
    with pytest.raises(Refusal, match='allowed: two or more'):
        comparison.comparison([tmp_path / 'mine', theirs])


def running(folder):
    """A workdir whose second trial has not ended."""
    sweep(folder, (0.1,), seeds=2, config={'study': {'name': 'training'}})
    edit(folder, 'status.json', lambda content: content['trials']['1'].update(status='running'))
    return folder


def test_a_report_of_what_is_there_so_far(tmp_path, capsys):
    folder = running(tmp_path / 'run')
    before = (folder / 'status.json').read_bytes()
    assert report_main(['', f'--workdir={folder}', '--figures=']) == 0
    text = (folder / 'report.html').read_text()
    assert '1 of 2 trials have ended: no verdict yet.' in text and 'http-equiv' not in text
    assert (folder / 'status.json').read_bytes() == before


def test_a_live_page_refreshes_until_the_end(tmp_path, monkeypatch, capsys):
    folder = running(tmp_path / 'run')
    pages = []

    def ended(content):
        content['trials']['1']['status'] = 'done'

    def sleep(seconds):
        pages.append((folder / 'report.html').read_text())
        if len(pages) == 2:
            edit(
                folder, 'status.json', lambda content: content['trials']['1'].update(status='done')
            )

    monkeypatch.setattr('lbexp.report.__main__.time.sleep', sleep)
    assert report_main(['', f'--workdir={folder}', '--live', '--every=3', '--figures=']) == 0
    assert len(pages) == 2
    assert all('<meta http-equiv="refresh" content="3">' in text for text in pages)
    last = (folder / 'report.html').read_text()
    assert 'http-equiv' not in last and 'no verdict yet' not in last


def test_a_report_runs_nothing_that_the_workdir_names(tmp_path, capsys):
    study = {'name': 'os:mkdir', 'path': str(tmp_path / 'executed')}
    folder = sweep(tmp_path / 'run', config={'study': study})
    assert report_main(['', f'--workdir={folder}']) == 2
    assert 'names a study outside lbexp' in capsys.readouterr().err
    assert not (tmp_path / 'executed').exists()


@pytest.mark.parametrize(
    'arguments, problem',
    [
        ([], '--workdir: not given'),
        (['--workdir=absent'], 'is not a folder'),
        (['--workdir=sweep'], 'python -m lbexp.sweep'),
        (['--workdir=sweep', '--every=0'], 'every'),
    ],
)
def test_what_the_report_refuses(tmp_path, monkeypatch, capsys, arguments, problem):
    monkeypatch.chdir(tmp_path)
    (sweep(tmp_path / 'sweep') / 'cohorts.json').write_text('[]')
    assert report_main(['', *arguments]) == 2
    told = capsys.readouterr().err
    assert problem in told and told.count('\n') == 1
