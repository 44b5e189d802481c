"""Told to stop at any moment, the command saves and ends with 75; a signal that was ignored stays
so."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from jobs import ROOT, environment

pytestmark = pytest.mark.processes

EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='sgd', learning_rate=0.05)
    c.steps, c.batch_size = {steps}, 10
    c.num_rows, c.num_evaluations, c.num_checkpoints = 100, 1, 1
    return c
"""


def start(folder, *before, steps=4_000_000, **how):
    """The command, begun by another one."""
    (folder / 'experiment.py').write_text(EXPERIMENT.format(steps=steps))
    main = [
        sys.executable,
        '-m',
        'lbexp.main',
        '--figures=',
        f'--config={folder}/experiment.py',
        f'--workdir={folder}/run',
    ]
    streams = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return subprocess.Popen([*before, *main], cwd=ROOT, env=environment(), **{**streams, **how})


def wait_until(condition, process):
    began = time.monotonic()
    while not condition():
        assert process.poll() is None and time.monotonic() - began < 100
        time.sleep(0.02)


def trains(folder):
    metrics = folder / 'run' / 'metrics.jsonl'
    return lambda: metrics.exists() and metrics.stat().st_size > 0


def is_saved(folder):
    status = json.loads((folder / 'run' / 'status.json').read_text())
    step = status['trials']['0']['step']
    return (
        status['status'] == 'preempted'
        and (folder / 'run/checkpoints/trial-00000' / str(step)).is_dir()
    )


@pytest.mark.long
def test_a_terminal_that_goes_away(tmp_path):
    """SIGHUP, and nothing can be printed any more."""
    terminal, name = pty.openpty()
    there = f'exec 0<>{os.ttyname(name)} 1>&0 2>&0; exec "$@"'
    process = start(tmp_path, 'sh', '-c', there, 'sh', start_new_session=True)
    try:
        os.close(name)
        wait_until(trains(tmp_path), process)
        os.close(terminal)
        process.communicate(timeout=300)
        assert process.returncode == 75 and is_saved(tmp_path)
    finally:
        process.kill()
        process.communicate()


def test_nohup(tmp_path):
    process = start(tmp_path, 'sh', '-c', 'trap "" HUP; exec "$@"', 'sh', steps=20_000)
    try:
        wait_until(trains(tmp_path), process)
        process.send_signal(signal.SIGHUP)
        _, problem = process.communicate(timeout=300)
        assert process.returncode == 0, problem
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    'numbers, status',
    [
        ([signal.SIGTERM], 75),
        ([signal.SIGINT, signal.SIGINT], -signal.SIGINT),
    ],
)
def test_before_the_first_step(tmp_path, numbers, status):
    """While it compiles: once, it trains a little and saves; Ctrl-C twice ends it, without a
    traceback."""
    process = start(tmp_path)
    try:
        wait_until((tmp_path / 'run' / 'config.json').exists, process)
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.2)
        _, problem = process.communicate(timeout=300)
        assert process.returncode == status and 'Traceback' not in problem, problem
        assert status != 75 or is_saved(tmp_path)
    finally:
        process.kill()
        process.communicate()
