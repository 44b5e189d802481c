"""A run that is stopped, killed or told to stop goes on with the same command and ends where it
would have ended."""

import errno
import json
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
from training import rows, tiny, train

ROOT = pathlib.Path(__file__).parents[2]

EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(16,), dropout=0.1)
    c.optimizer = dict(name='lookahead', k=5, inner=dict(name='momentum', learning_rate=0.05, momentum=0.9))
    c.steps, c.batch_size, c.seed = {steps}, 32, 3
    c.num_rows, c.num_evaluations, c.num_checkpoints = {rows}, 10, {rows}
    c.sweep = (('seed', (0, 1)), ('optimizer.inner.learning_rate', (0.05, 1e30)))
    return c
"""  # noqa: E501


def command(experiment, workdir):
    arguments = [f'--config={experiment}', f'--workdir={workdir}', '--figures=']
    return [sys.executable, '-m', 'lbexp.main', *arguments]


pytestmark = pytest.mark.usefixtures('shared_programs')


@pytest.mark.parametrize('dispatches', [1, 3, 4, 7])
def test_stopped_anywhere_it_ends_the_same(tmp_path, dispatches):
    """In one process: told to stop after so many dispatches, again and again until it is done."""
    config = tiny(
        workload=dict(name='digits_mlp', hidden=(16,)), steps=50, sweep=(('seed', (0, 1, 2)),)
    )
    whole = train(config, tmp_path / 'whole')
    for _ in range(50):
        left = iter([False] * (dispatches - 1))
        train(config, tmp_path / 'cut', should_stop=lambda left=left: next(left, True))
        if json.loads((tmp_path / 'cut' / 'status.json').read_text())['status'] == 'done':
            break
    assert rows(tmp_path / 'cut') == whole


def test_finished_trials_are_skipped_and_a_torn_line_is_repaired(tmp_path):
    config = tiny(sweep=(('optimizer.nesterov', (False, True)),))
    config.optimizer.nesterov = False
    whole = train(config, tmp_path)
    metrics = tmp_path / 'metrics.jsonl'
    before = metrics.read_bytes()
    assert train(config, tmp_path) == whole and metrics.read_bytes() == before
    # As if killed while the second cohort wrote its last row: its last checkpoint was not there
    # yet.
    status = json.loads((tmp_path / 'status.json').read_text())
    status['trials']['1'] = {'status': 'running', 'step': 20, 'saved': 12}
    (tmp_path / 'status.json').write_text(json.dumps(status))
    shutil.rmtree(tmp_path / 'checkpoints' / 'trial-00001' / '24')
    metrics.write_bytes(before[:-20])
    assert train(config, tmp_path) == whole
    first = [line for line in before.splitlines() if json.loads(line)['trial'] == 0]
    assert [
        line for line in metrics.read_bytes().splitlines() if json.loads(line)['trial'] == 0
    ] == first


@pytest.mark.processes
@pytest.mark.long
@pytest.mark.parametrize('kills', [4, pytest.param(12, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_to_the_bit_where_it_would_have(tmp_path, kills):
    """kill -9, again and again, some of them while a checkpoint is written."""
    experiment = tmp_path / 'experiment.py'
    experiment.write_text(EXPERIMENT.format(steps=2500 * kills, rows=8 * kills))
    subprocess.run(
        command(experiment, tmp_path / 'whole'), cwd=ROOT, check=True, capture_output=True
    )
    generator = random.Random(0)
    saving = 0
    for kill in range(kills):
        process = subprocess.Popen(
            command(experiment, tmp_path / 'cut'), cwd=ROOT, stdout=subprocess.DEVNULL
        )
        _wait_for_a_row_more(process, tmp_path / 'cut')
        deadline = time.monotonic() + generator.uniform(0, 0.6)
        while time.monotonic() < deadline and not (kill % 2 and _unfinished_save(tmp_path / 'cut')):
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL, 'it was done before it could be killed'
        saving += bool(_unfinished_save(tmp_path / 'cut'))
    assert saving, 'no kill came during a save'
    subprocess.run(command(experiment, tmp_path / 'cut'), cwd=ROOT, check=True, capture_output=True)
    assert rows(tmp_path / 'cut') == rows(tmp_path / 'whole')


@pytest.mark.processes
@pytest.mark.parametrize(
    'number', [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_told_to_stop_it_saves_and_says_how_to_go_on(tmp_path, number):
    experiment = tmp_path / 'experiment.py'
    experiment.write_text(EXPERIMENT.format(steps=200000, rows=100))
    workdir = tmp_path / 'run'
    process = subprocess.Popen(
        command(experiment, workdir), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    _wait_for_a_row_more(process, workdir)
    process.send_signal(number)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 75
    assert f'stopped by {number.name}' in printed and 'run the same command again' in printed
    status = json.loads((workdir / 'status.json').read_text())
    assert status['status'] == 'preempted'
    assert status['trials']['0']['step'] > 0


def test_a_file_that_may_not_grow_is_told_by_name(tmp_path):
    """A limit on the size of files stands for a full disk, which needs the right to mount one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(progress):
        if progress.step == 12:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))

    try:
        with pytest.raises(OSError) as error:
            train(tiny(num_rows=24), tmp_path / 'run', on_progress=limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.errno == errno.EFBIG
    assert str(error.value.filename) == str(tmp_path / 'run' / 'metrics.jsonl')


def _wait_for_a_row_more(process, workdir):
    """Returns when the process has written a row of its own."""
    metrics = workdir / 'metrics.jsonl'
    size = metrics.stat().st_size if metrics.exists() else 0
    began = time.monotonic()
    while process.poll() is None and (not metrics.exists() or metrics.stat().st_size <= size):
        size = min(size, metrics.stat().st_size) if metrics.exists() else 0
        assert time.monotonic() - began < 120
        time.sleep(0.005)
    return time.monotonic()


def _unfinished_save(workdir):
    return list((workdir / 'checkpoints').glob('*/*tmp*'))
