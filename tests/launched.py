"""What the tests of launchers share: an experiment and its undisturbed end, a pretender in place of
the trainer, and ways to disturb a job."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from jobs import ROOT, environment, lines
from training import rows

EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(16,), dropout=0.1)
    c.optimizer = dict(name='momentum', learning_rate=0.02)
    c.steps, c.batch_size, c.data_parallel = 240, 32, 2
    c.num_rows, c.num_evaluations, c.num_checkpoints = 60, 1, 15
    return c
"""


# Stands for the trainer: 'python -m lbexp.main --start_timeout=300 75,76 1' ends in its first run
# as 75 says, in the next as 76 does.
PRETENDER = """#!{python}
import os, pathlib, signal, sys, time
numbers = ('SLURM_PROCID', 'OMPI_COMM_WORLD_RANK', 'SLURM_RESTART_COUNT')
*ranks, restart = (int(os.environ.get(name, 0)) for name in numbers)
rank = max(ranks)
status = int(sys.argv[4].split(',')[restart])
with open(sys.argv[5], 'a') as log:
    log.write(f'{{rank}} ')
signal.signal(signal.SIGTERM, lambda *told: os._exit(75))
if rank == 0 and status == 137:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(0 if rank == 0 and status else 240)  # the others are killed, or told to stop
os._exit(status)
"""


def launched():
    """What a shell has in which lbexp is installed."""
    python = os.path.dirname(sys.executable)
    return environment(PATH=f'{python}{os.pathsep}{os.environ["PATH"]}', PYTHONPATH=str(ROOT))


@pytest.fixture(scope='module')
def undisturbed_run(tmp_path_factory):
    """The arguments of an experiment of some seconds, and its end in one process that nobody
    disturbed."""
    folder = tmp_path_factory.mktemp('whole')
    (folder / 'experiment.py').write_text(EXPERIMENT)
    command = [
        sys.executable,
        '-m',
        'lbexp.main',
        f'--config={folder}/experiment.py',
        f'--workdir={folder}/run',
        '--figures=',
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment())
    arguments = [f'--config={folder}/experiment.py', '--peer_timeout=10', '--figures=']
    return arguments, end(folder / 'run')


def end(workdir):
    """Rows and the arrays of the last checkpoint: parameters, optimizer state, keys; not the times,
    nor digests of them, nor the run's name."""
    from orbax.checkpoint import v1 as ocp

    (newest,) = sorted(workdir.glob('checkpoints/*/*'), key=lambda step: int(step.name))[-1:]
    arrays = {path: np.asarray(array) for path, array in ocp.load(newest).items()}
    kept = {
        path: array.tobytes()
        for path, array in arrays.items()
        if not re.search('seconds|sha256|digests|manifest', path)
    }
    assert len(kept) < len(arrays) and sum('params' in path for path in kept) >= 4
    return rows(workdir), kept


def pretending(folder):
    """The environment in which 'python' is the pretender."""
    if not (folder / 'python').exists():  # else it may be running
        (folder / 'python').write_text(PRETENDER.format(python=sys.executable))
        (folder / 'python').chmod(0o755)
    return {'PATH': f'{folder}{os.pathsep}{launched()["PATH"]}'}


def wait_for_pretenders(log):
    began = time.monotonic()
    while not log.exists() or len(log.read_text().split()) < 2:
        assert time.monotonic() - began < 60
        time.sleep(0.1)


def rank(workdir, variable, number):
    """The pid of the process of the job of that number."""
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            arguments = (process / 'cmdline').read_bytes().split(b'\0')
            variables = (process / 'environ').read_bytes().split(b'\0')
        except OSError:  # it has just ended
            continue
        trains = (
            arguments[1:3] == [b'-m', b'lbexp.main']
            and f'--workdir={workdir}'.encode() in arguments
        )
        if trains and f'{variable}={number}'.encode() in variables:
            return int(process.name)
    raise AssertionError(f'no process {number}')


def disturb(workdir, variable, number, signal_, alive, more=5):
    """Sends the signal once the run has written some rows of its own."""
    metrics = workdir / 'metrics.jsonl'
    least, began = lines(metrics), time.monotonic()
    while lines(metrics) < least + more:
        least = min(least, lines(metrics))  # a run that goes on drops rows beyond its checkpoint
        if time.monotonic() - began > 30:  # not before: to ask Slurm takes a process
            assert alive() and time.monotonic() - began < 120
            time.sleep(1)
        time.sleep(0.01)
    os.kill(rank(workdir, variable, number), signal_)


def wait_until_saved(workdir, alive):
    while json.loads((workdir / 'status.json').read_text())['status'] != 'preempted':
        assert alive()
        time.sleep(0.05)
