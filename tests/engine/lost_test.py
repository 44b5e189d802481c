"""Checkpoints that are gone, and files that are torn: nothing begins anew in silence."""

import json
import shutil

import pytest
from training import rows, train
from workdirs import LOSABLE, copy

from lbexp import exit_status, main
from lbexp.errors import Damaged, Refusal

pytestmark = [
    pytest.mark.usefixtures('collected', 'shared_programs'),
    pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning'),
]


def empty_checkpoints(workdir):
    for file in (workdir / 'checkpoints').rglob('*'):
        if file.is_file():
            file.write_bytes(b'')


def delete_checkpoints(workdir):
    shutil.rmtree(workdir / 'checkpoints')


def delete_steps(workdir):
    for step in (workdir / 'checkpoints' / 'trial-00000').iterdir():
        shutil.rmtree(step)


def rename_steps(workdir):
    for step in list((workdir / 'checkpoints' / 'trial-00000').iterdir()):
        step.rename(step.with_name(f'{step.name}0'))


def rename_folder(workdir):
    (workdir / 'checkpoints' / 'trial-00000').rename(workdir / 'checkpoints' / 'trial-00001')


def delete_status_too(workdir):
    delete_checkpoints(workdir)
    (workdir / 'status.json').unlink()


LOSSES = [
    empty_checkpoints,
    delete_checkpoints,
    delete_steps,
    rename_steps,
    rename_folder,
    delete_status_too,
]


@pytest.mark.parametrize('lose', LOSSES)
def test_lost_checkpoints_are_refused_until_told_otherwise(stopped, whole, tmp_path, lose):
    workdir = copy(stopped, tmp_path)
    lose(workdir)
    before = (workdir / 'metrics.jsonl').read_bytes()
    for _ in range(2):  # the same command again does not begin anew either
        with pytest.raises(Damaged, match='--restart_lost'):
            train(LOSABLE, workdir)
        assert (workdir / 'metrics.jsonl').read_bytes() == before
    announced = []
    assert train(LOSABLE, workdir, restart_lost=True, log=announced.append) == rows(whole)
    assert any('They train from the start' in line for line in announced)


def test_a_run_killed_before_its_first_checkpoint_just_goes_on(stopped, whole, tmp_path):
    """It has rows and no checkpoint, and status.json says that none was ever complete."""
    workdir = copy(stopped, tmp_path)
    delete_checkpoints(workdir)
    status = json.loads((workdir / 'status.json').read_text())
    for standing in status['trials'].values():
        standing['saved'] = 0
    (workdir / 'status.json').write_text(json.dumps(status))
    assert train(LOSABLE, workdir) == rows(whole)


def test_done_before_the_end_is_not_believed(stopped, whole, tmp_path):
    workdir = copy(stopped, tmp_path)
    status = json.loads((workdir / 'status.json').read_text())
    for standing in status['trials'].values():
        standing['status'] = 'done'
    (workdir / 'status.json').write_text(json.dumps(status))
    announced = []
    assert train(LOSABLE, workdir, log=announced.append) == rows(whole)
    assert any('of 24, says status.json: not believed' in line for line in announced)


BROKEN = [
    '',
    'null',
    '[]',
    '5',
    '{"status": "done"',
    '{"status": "done", "trials": [1]}',
    '{"trials": {"0": 5}}',
    '\0',
]


@pytest.mark.parametrize('content', BROKEN)
@pytest.mark.parametrize('name', ['status.json', 'config.json'])
def test_a_damaged_json_file_is_named(whole, tmp_path, name, content):
    workdir = copy(whole, tmp_path)
    (workdir / name).write_text(content)
    with pytest.raises(Refusal, match=rf'{name}: found a damaged file .* --workdir') as error:
        train(LOSABLE, workdir)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'line', ['null', '5', '[]', '{}', '{"trial": 0}', '{"trial": "0", "step": 1}', '{"trial']
)
def test_a_line_that_is_no_row_is_named(whole, tmp_path, line):
    workdir = copy(whole, tmp_path)
    content = (workdir / 'metrics.jsonl').read_text()
    (workdir / 'metrics.jsonl').write_text(f'{line}\n{content}')
    with pytest.raises(Refusal, match=r'metrics\.jsonl: line 1 is no row'):
        train(LOSABLE, workdir)


EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='momentum', learning_rate=0.05)
    c.steps, c.batch_size, c.num_rows, c.num_evaluations, c.num_checkpoints = 40, 10, 8, 2, 4
    return c
"""


@pytest.mark.long
def test_the_command_ends_with_3_and_says_what_it_restarts(tmp_path, capsys):
    (tmp_path / 'experiment.py').write_text(EXPERIMENT)
    arguments = ['main', f'--config={tmp_path}/experiment.py', f'--workdir={tmp_path}/run']
    assert main.main(arguments) == exit_status.DONE
    assert 'nothing to train' not in capsys.readouterr().out
    assert main.main(arguments) == exit_status.DONE
    assert 'nothing to train: done on 2' in capsys.readouterr().out
    (tmp_path / 'run' / 'metrics.jsonl').unlink()
    (tmp_path / 'run' / 'report.html').unlink()
    assert main.main(arguments) == exit_status.NO_CHECKPOINT
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('lbexp: ') and 'rows are lost (trial 0: 0 rows of 8)' in line
    assert not (tmp_path / 'run' / 'report.html').exists()
    assert main.main([*arguments, '--restart_lost']) == exit_status.DONE
    changes = json.loads((tmp_path / 'run' / 'config.json').read_text())['changes']
    assert changes[-1]['trials 0'][1] == 'trained from the start'
