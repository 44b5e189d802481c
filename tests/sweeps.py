"""What the tests of lbexp.sweep share: an experiment of three cohorts, the command, and what it
left in its workdir."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from jobs import ROOT, environment
from training import rows

# Three cohorts of two trials. In a worker, a file of the name `broken` makes the second one raise.
EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(16,), dropout=0.1)
    c.optimizer = dict(name='momentum', learning_rate=0.05, momentum=0.9)
    c.steps, c.batch_size = 2000, 32
    c.num_rows, c.num_evaluations, c.num_checkpoints = 40, 2, 8
    c.sweep = (('optimizer.name', ('momentum', 'fragile:fragile', 'optax:sgd')), ('seed', (0, 1)))
    return c
"""
FRAGILE = """
import pathlib, sys
import optax
def fragile(learning_rate, momentum):
    if pathlib.Path(__file__).with_name('broken').exists() and 'worker' in sys.argv[0]:
        raise RuntimeError('broken on purpose')
    return optax.sgd(learning_rate, momentum)
"""


def experiment(folder: pathlib.Path) -> pathlib.Path:
    """Writes the experiment; returns its file."""
    (folder / 'fragile.py').write_text(FRAGILE)
    file = folder / 'experiment.py'
    file.write_text(EXPERIMENT)
    return file


def command(module, *arguments, folder, run=subprocess.run, env=None, **how):
    """python -m of a module of lbexp, with the modules of `folder` in reach;
    its figures are not drawn, which takes longer than what is trained here."""
    paths = os.pathsep.join([str(folder), str(ROOT)])
    how = dict(cwd=ROOT, env={**(env or environment()), 'PYTHONPATH': paths}, text=True) | how
    if run is subprocess.run:
        how = dict(capture_output=True, timeout=300) | how
    return run([sys.executable, '-m', module, '--figures=', *map(str, arguments)], **how)


def start(*arguments, folder, **how):
    """A sweep that goes on while the test does; what it prints is read at its end."""
    streams = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return command('lbexp.sweep', *arguments, folder=folder, run=subprocess.Popen, **streams, **how)


def attempts(workdir: pathlib.Path) -> list[list[dict]]:
    """By cohort, what the files of its attempts say; one that is just being begun says nothing
    yet."""
    folders = sorted(path for path in (workdir / 'cohorts').iterdir() if path.name.isdigit())
    return [_attempts_at(folder) for folder in folders]


def _attempts_at(cohort):
    files = sorted(cohort.glob('attempt-????.json'))
    return [json.loads(file.read_text() or '{"state": "begun"}') for file in files]


def kill_one(
    workdir: pathlib.Path, process: subprocess.Popen, number: signal.Signals = signal.SIGKILL
) -> int:
    """Waits until some cohort has trained a while, and signals the process that trains it; the
    number of the cohort."""
    began = time.monotonic()
    while True:
        assert time.monotonic() - began < 200 and process.poll() is None, process.communicate()
        for metrics in workdir.glob('cohorts/*/metrics.jsonl'):
            lines, cohort = metrics.read_bytes().count(b'\n'), int(metrics.parent.name)
            if (
                lines >= 6
                and (told := attempts(workdir)[cohort])
                and told[-1]['state'] == 'running'
            ):
                os.kill(told[-1]['pid'], number)
                return cohort
        time.sleep(0.01)


@pytest.fixture(scope='module')
def direct(tmp_path_factory):
    """The experiment and its rows by a direct run."""
    folder = tmp_path_factory.mktemp('direct')
    file = experiment(folder)
    arguments = [f'--config={file}', f'--workdir={folder}/run']
    done = command('lbexp.main', *arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    return file, folder / 'run'


def same(workdir, direct):
    """Whether two workdirs hold the same trials, statuses and rows, to the bit and in their
    order."""
    lines = [(folder / 'metrics.jsonl').read_text().splitlines() for folder in (workdir, direct)]
    places = [
        [(json.loads(line)['trial'], json.loads(line)['step']) for line in one] for one in lines
    ]
    states = [json.loads((folder / 'status.json').read_text()) for folder in (workdir, direct)]
    trials = [
        json.loads((folder / 'config.json').read_text())['trials'] for folder in (workdir, direct)
    ]
    return (
        rows(workdir) == rows(direct)
        and places[0] == places[1]
        and _reached(states[0]) == _reached(states[1])
        and trials[0] == trials[1]
    )


def _reached(states):
    """What two equal runs say alike: their rows hold times, and they ended at two."""
    return states['status'], {
        trial: (one['status'], one['step']) for trial, one in states['trials'].items()
    }
