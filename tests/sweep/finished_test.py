"""A sweep that is finished: the same command sees it without JAX, and does nothing; whatever has
changed, it looks again."""

import json
import os
import pathlib
import sys

import pytest
from jobs import environment
from sweeps import command

from lbexp.command import read
from lbexp.sweep import __main__ as sweep
from lbexp.sweep import finished

EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='mine:mine', learning_rate=0.05)
    c.steps, c.batch_size = 4, 16
    c.num_rows, c.num_evaluations, c.num_checkpoints = 2, 1, 1
    return c
"""
PART = """
import optax
def mine(learning_rate):
    return optax.sgd(learning_rate)
"""


def experiment(folder):
    (folder / 'mine.py').write_text(PART)
    file = folder / 'experiment.py'
    file.write_text(EXPERIMENT)
    return file


def asked(file, workdir, *more):
    """Flags and configuration of a command."""
    flag_values = sweep._flags()
    flag_values(['sweep', f'--config={file}', f'--workdir={workdir}', *more])
    config, problems = read(flag_values, [])
    assert not problems
    return flag_values, config


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """One that looks as a sweep leaves it, beside its experiment."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'mine', raising=False)  # that of another test
    file, folder = experiment(tmp_path), tmp_path / 'run'
    (folder / 'cohorts' / '00000').mkdir(parents=True)
    entries = [{'trial': 0, 'overrides': {}}]
    document = {'config': {}, 'trials': entries, 'environment': {}}
    (folder / 'config.json').write_text(json.dumps(document))
    states = {'status': 'done', 'trials': {'0': {'status': 'done', 'step': 4}}}
    (folder / 'status.json').write_text(json.dumps(states))
    for name in ('metrics.jsonl', 'cohorts/00000/metrics.jsonl', 'report.html'):
        (folder / name).write_text('{}')
    finished.keep(*asked(file, folder), folder)
    return folder


def test_what_has_not_changed_is_finished(workdir):
    arguments = asked(workdir.parent / 'experiment.py', workdir)
    assert finished.finished(*arguments) == workdir
    assert finished.status(workdir) == 0


@pytest.mark.parametrize(
    'name', ['metrics.jsonl', 'cohorts/00000/metrics.jsonl', 'status.json', '../mine.py']
)
def test_a_file_that_changed_is_looked_at(workdir, name):
    file = workdir / name
    file.write_text(file.read_text() + '\n')
    assert finished.finished(*asked(workdir.parent / 'experiment.py', workdir)) is None


def test_of_the_same_size_a_file_has_changed_too(workdir):
    os.utime(workdir / 'metrics.jsonl', (0, 0))
    assert finished.finished(*asked(workdir.parent / 'experiment.py', workdir)) is None


@pytest.mark.parametrize('name', ['report.html', 'finished.json', 'cohorts/00000/metrics.jsonl'])
def test_what_is_lost_is_looked_for(workdir, name):
    (workdir / name).unlink()
    assert finished.finished(*asked(workdir.parent / 'experiment.py', workdir)) is None


def test_another_question_is_not_answered(workdir, monkeypatch):
    file = workdir.parent / 'experiment.py'
    assert finished.finished(*asked(file, workdir, '--figures=png')) is None
    flag_values, config = asked(file, workdir)
    config.steps = 8
    assert finished.finished(flag_values, config) is None
    monkeypatch.setattr(finished, 'source', lambda: 'of another version')
    assert finished.finished(*asked(file, workdir)) is None


@pytest.mark.parametrize('content', ['', '[]', '{"asked": 3, "files": {}}'])
def test_a_damaged_file_says_nothing(workdir, content):
    (workdir / 'finished.json').write_text(content)
    assert finished.finished(*asked(workdir.parent / 'experiment.py', workdir)) is None


def test_without_a_workdir_those_of_the_name_are_looked_at(workdir, monkeypatch):
    monkeypatch.chdir(workdir.parent)
    (workdir.parent / 'runs').mkdir()
    target = pathlib.Path('runs') / 'experiment-12345678-123456'
    target.symlink_to(workdir)
    arguments = asked('experiment.py', '')
    assert finished.finished(*arguments) == target
    (workdir / 'report.html').unlink()
    assert finished.finished(*arguments) is None


@pytest.mark.processes
@pytest.mark.long
def test_a_finished_sweep_starts_no_jax_and_writes_nothing(tmp_path):
    file, workdir = experiment(tmp_path), tmp_path / 'run'
    arguments = ['lbexp.sweep', f'--config={file}', f'--workdir={workdir}', 'run']
    first = command(*arguments, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    report = workdir / 'report.html'
    before = report.read_bytes(), report.stat().st_mtime_ns
    again = command(*arguments, folder=tmp_path, env=environment(PYTHONPROFILEIMPORTTIME='1'))
    assert again.returncode == 0 and 'nothing to do' in again.stdout
    assert str(report) in again.stdout
    imported = {line.rpartition('|')[2].strip() for line in again.stderr.splitlines()}
    assert 'lbexp.sweep.finished' in imported and not imported & {'jax', 'matplotlib', 'flax'}
    assert (report.read_bytes(), report.stat().st_mtime_ns) == before
    # a row that changed: the report is made again
    os.utime(workdir / 'metrics.jsonl', (0, 0))
    last = command(*arguments, folder=tmp_path)
    assert last.returncode == 0 and 'writing the report' in last.stdout
    assert report.stat().st_mtime_ns > before[1]
