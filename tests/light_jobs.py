"""What the tests of several processes share: an experiment that compiles in a moment."""

import subprocess
import sys

import pytest
from jobs import ROOT, environment
from training import rows

# Compiled in a moment, for jobs that are disturbed.
LIGHT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(16,), dropout=0.1)
    c.optimizer = dict(name='momentum', learning_rate=0.02)
    c.steps, c.batch_size, c.data_parallel = {steps}, 32, {shards}
    c.num_rows, c.num_evaluations, c.num_checkpoints = {rows}, 1, {rows} // 4
    return c
"""


@pytest.fixture(scope='module')
def long_run(tmp_path_factory):
    """An experiment of some seconds, and the rows of its undisturbed run in one process."""
    folder = tmp_path_factory.mktemp('long')
    (folder / 'experiment.py').write_text(LIGHT.format(steps=240, rows=60, shards=2))
    command = [
        sys.executable,
        '-m',
        'lbexp.main',
        f'--config={folder}/experiment.py',
        f'--workdir={folder}/whole',
        '--figures=',
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment())
    return folder / 'experiment.py', rows(folder / 'whole')
