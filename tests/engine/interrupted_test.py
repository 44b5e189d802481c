"""A trial that says 'running' in status.json runs as long as somebody is at its workdir."""

import json
import subprocess
import sys
import time

import pytest
from jobs import ROOT, environment
from reports import sweep

from lbexp import owner, results
from lbexp.report import page

pytestmark = pytest.mark.processes

EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='momentum', learning_rate=0.05)
    c.steps, c.batch_size = 3_000_000, 10
    c.num_rows, c.num_evaluations, c.num_checkpoints = 3000, 1, 10
    return c
"""


@pytest.mark.long
def test_a_process_that_is_killed_is_no_longer_running(tmp_path):
    (tmp_path / 'experiment.py').write_text(EXPERIMENT)
    workdir = tmp_path / 'run'
    command = [sys.executable, '-m', 'lbexp.main', f'--config={tmp_path}/experiment.py']
    process = subprocess.Popen(
        [*command, f'--workdir={workdir}'], cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL
    )
    try:
        metrics, deadline = workdir / 'metrics.jsonl', time.monotonic() + 120
        while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert results.final(workdir)['status'].tolist() == ['running']
    finally:
        process.kill()
        process.wait()
    assert json.loads((workdir / 'status.json').read_text())['trials']['0']['status'] == 'running'
    assert results.final(workdir)['status'].tolist() == ['interrupted']
    assert '1 trial: 1 interrupted' in page.page(workdir).read_text()


@pytest.fixture
def left(tmp_path):
    """Trial 0 runs, trial 1 is done, and nobody is there."""
    workdir = sweep(tmp_path, rates=(0.1,), seeds=2, steps=2)
    status = json.loads((workdir / 'status.json').read_text())
    status['trials']['0']['status'] = 'running'
    (workdir / 'status.json').write_text(json.dumps(status))
    return workdir


@pytest.mark.parametrize(
    'at, status',
    [
        (None, 'interrupted'),
        ({}, 'running'),  # this process
        ({'started': '1'}, 'interrupted'),  # the same pid, of another process
        ({'place': 'another host', 'started': '1'}, 'running'),  # it cannot be seen from here
    ],
)
def test_who_is_at_the_workdir_decides(left, at, status):
    if at is not None:
        (left / owner.FILE).write_text(json.dumps({**owner.owner(), **at}))
    assert results.final(left)['status'].tolist() == [status, 'done']


@pytest.mark.parametrize('content', ['', '[]', '{"pid": [1]}', '{"host": 1, "pid": "../../etc"}'])
def test_what_cannot_be_read_of_it_says_nothing(left, content):
    (left / owner.FILE).write_text(content)
    assert owner.name(left) == 'another process'
    assert results.final(left)['status'].tolist() == ['running', 'done']


@pytest.mark.parametrize('file', ['cohorts.json', 'attempt-0001.json'])
def test_trials_of_a_sweep_have_processes_of_their_own(left, file):
    (left / file).write_text('[]')
    assert results.final(left)['status'].tolist() == ['running', 'done']
