"""Nothing is written through a link in a workdir to somewhere else; the workdir itself may be
one."""

import os
import pathlib

import pytest
from training import rows, tiny, train

from lbexp import main, workdirs
from lbexp.errors import Refusal
from lbexp.sweep.__main__ import main as sweep_main

EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='momentum', learning_rate=0.05)
    c.steps, c.batch_size, c.num_rows, c.num_evaluations, c.num_checkpoints = 8, 10, 2, 1, 1
    return c
"""
PLACES = (
    'metrics.jsonl',
    'config.json',
    'status.json',
    'owner.json',
    '.lock',
    'report.html',
    'speed.json',
    'cohorts.json',
    'checkpoints',
    'checkpoints/trial-00000',
    'checkpoints/trial-00000/8',
    'tensorboard/trial-00000',
    'figures',
    'figures/loss.png',
    'cohorts',
    'cohorts/mutex',
    'cohorts/00000',
    'cohorts/00000/log.txt',
)


def put(workdir, place, target):
    path = workdir / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('target', ['file', 'folder', 'absent', '/dev/zero'])
def test_a_link_out_of_the_workdir_is_refused(tmp_path, place, target):
    (tmp_path / 'file').write_text('mine')
    (tmp_path / 'folder').mkdir()
    put(tmp_path / 'run', place, tmp_path / target)
    with pytest.raises(Refusal, match=f'{place}: found a link out of the workdir, to .*; allowed:'):
        workdirs.chosen_workdir(str(tmp_path / 'run'))


def test_a_pipe_would_keep_the_writer_for_ever(tmp_path):
    (tmp_path / 'checkpoints').mkdir()
    for path in (tmp_path / 'metrics.jsonl', tmp_path / 'checkpoints' / 'pipe'):
        os.mkfifo(path)
        with pytest.raises(Refusal, match=f'{path.name}: found a pipe'):
            workdirs.chosen_workdir(str(tmp_path))
        path.unlink()


def test_links_that_lead_nowhere_else_are_fine(tmp_path):
    """The workdir itself may lie on another disk; and what points into it stays in it."""
    (tmp_path / 'disk').mkdir()
    (tmp_path / 'run').symlink_to(tmp_path / 'disk')
    (tmp_path / 'disk' / 'latest').symlink_to('checkpoints')
    assert workdirs.chosen_workdir(str(tmp_path / 'run')) == tmp_path / 'run'
    assert len(train(tiny(), tmp_path / 'run')) == len(rows(tmp_path / 'disk')) == 6


@pytest.mark.parametrize('run', [main.main, sweep_main])
def test_the_commands_end_with_2_and_write_nothing(tmp_path, capsys, run):
    (tmp_path / 'experiment.py').write_text(EXPERIMENT)
    (tmp_path / 'mine').write_bytes(b'')
    put(tmp_path / 'run', 'metrics.jsonl', tmp_path / 'mine')
    arguments = ['', f'--config={tmp_path}/experiment.py', f'--workdir={tmp_path}/run']
    assert run(arguments + ['run'] * (run is sweep_main)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'lbexp: {tmp_path}/run/metrics.jsonl: found a link out of the workdir')
    assert (tmp_path / 'mine').read_bytes() == b''
    assert list((tmp_path / 'run').iterdir()) == [pathlib.Path(tmp_path / 'run' / 'metrics.jsonl')]


@pytest.mark.parametrize('word', ['report', 'status'])
def test_a_report_writes_through_none_either(tmp_path, capsys, word):
    put(tmp_path / 'run', 'cohorts/mutex', tmp_path)
    (tmp_path / 'run' / 'cohorts.json').write_text('[]')
    assert sweep_main(['', f'--workdir={tmp_path}/run', word]) == 2
    assert 'mutex: found a link out of the workdir' in capsys.readouterr().err
