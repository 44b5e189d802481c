"""What the commands say when code or data has changed since a workdir was begun, and when nothing
has."""

import os
import re
import subprocess
import sys

import pytest
from jobs import ROOT, environment

pytestmark = pytest.mark.processes

MINE = """
import pathlib
import optax
from lbexp.workloads.linear_regression import linear_regression
def opt(learning_rate):
    return optax.sgd(learning_rate)
def data(size):
    return linear_regression(size, seed=int(pathlib.Path(__file__).with_name('data.txt').read_text()))
"""  # noqa: E501
EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='mine:data', size=100)
    c.optimizer = dict(name='mine:opt', learning_rate=0.05)
    c.steps, c.batch_size, c.num_rows, c.num_evaluations, c.num_checkpoints = 8, 10, 2, 1, 1
    return c
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'mine.py').write_text(MINE)
    (tmp_path / 'data.txt').write_text('0')
    (tmp_path / 'experiment.py').write_text(EXPERIMENT)
    return tmp_path


def run(folder, module, *arguments):
    env = environment(PYTHONPATH=os.pathsep.join([str(folder), str(ROOT)]))
    command = [sys.executable, '-m', module, '--config=experiment.py', '--figures=', *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def change(file, old, new):
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.long
def test_a_direct_run_says_what_it_does_not_train_and_what_it_trains_anew(folder):
    first = run(folder, 'lbexp.main')
    assert first.returncode == 0 and 'nothing to train' not in first.stdout, first.stderr
    (workdir,) = (folder / 'runs').iterdir()
    again = run(folder, 'lbexp.main')
    said = (
        r'^nothing to train: done on \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S* with (commit '
        r'[^\sN]\S+|an unknown commit)$'
    )
    assert again.returncode == 0 and re.search(said, again.stdout, re.MULTILINE), again.stdout
    assert list((folder / 'runs').iterdir()) == [workdir]
    change(folder / 'mine.py', 'sgd(learning_rate)', 'adam(learning_rate)')
    anew = run(folder, 'lbexp.main')
    words = 'trains anew: a run of the same configuration with other code or data is in'
    assert f'{words} {workdir.relative_to(folder)}\n' in anew.stdout, anew.stdout + anew.stderr
    assert anew.returncode == 0 and len(list((folder / 'runs').iterdir())) == 2


@pytest.mark.long
def test_a_sweep_refuses_other_code_and_other_data_before_a_worker_starts(folder):
    workdir = folder / 'run'
    arguments = ('lbexp.sweep', f'--workdir={workdir}', '--attempts=1', 'run')
    first = run(folder, *arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    there = {path: path.stat().st_mtime_ns for path in workdir.rglob('*') if path.is_file()}
    for file, old, new, named in (
        (
            'mine.py',
            'sgd(learning_rate)',
            'adam(learning_rate)',
            r"code of optimizer 'mine:opt' \(mine\.py\)",
        ),
        ('data.txt', '0', '1', r'data of workload mine:data\(size=100\)'),
    ):
        change(folder / file, old, new)
        refused = run(folder, *arguments)
        (line,) = refused.stderr.splitlines()
        assert refused.returncode == 2 and re.search(
            named + r'.*: [0-9a-f]{8} there, [0-9a-f]{8} now', line
        ), line
        assert 'Choose another --workdir' in line and 'cohort' not in refused.stdout
        change(folder / file, new, old)
    after = {path: path.stat().st_mtime_ns for path in workdir.rglob('*') if path.is_file()}
    assert {
        path for path in after if there.get(path) != after[path] and 'mutex' not in path.parts
    } == set()
