"""Checkpoints and rows that are gone: nothing begins anew in silence, and no report stands on half a curve."""

import gc
import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from jobs import ROOT
from training import rows, tiny, train

from lbexp import exit_status, main
from lbexp.engine import seal
from lbexp.engine.checkpoint import Checkpoints
from lbexp.engine.status import statuses
from lbexp.errors import Damaged, Refusal

# Orbax leaves tasks behind where a read fails, which complain when they are collected: here, not in another test.
pytestmark = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')

CONFIG = tiny(sweep=(('seed', (0, 1)),))  # one cohort: 6 rows a trial, checkpoints after steps 12 and 24


@pytest.fixture(autouse=True)
def _collected():
    yield
    gc.collect()


@pytest.fixture(scope='module')
def stopped(tmp_path_factory):
    """A run that was stopped after its first checkpoint."""
    folder = tmp_path_factory.mktemp('stopped')
    left = iter([False] * 4)
    train(CONFIG, folder, stopping=lambda: next(left, True))
    assert statuses(folder)[0]['status'] == 'running' and statuses(folder)[0]['saved'] >= 12
    return folder


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    train(CONFIG, folder)
    return folder


def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / 'run')


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


LOSSES = [empty_checkpoints, delete_checkpoints, delete_steps, rename_steps, rename_folder, delete_status_too]


@pytest.mark.parametrize('lose', LOSSES)
def test_lost_checkpoints_are_refused_until_told_otherwise(stopped, whole, tmp_path, lose):
    workdir = copy(stopped, tmp_path)
    lose(workdir)
    before = (workdir / 'metrics.jsonl').read_bytes()
    for _ in range(3):  # the same command again does not begin anew either
        with pytest.raises(Damaged, match='--restart_lost'):
            train(CONFIG, workdir)
        assert (workdir / 'metrics.jsonl').read_bytes() == before
    announced = []
    assert train(CONFIG, workdir, restart_lost=True, announce=announced.append) == rows(whole)
    assert any('They train from the start' in line for line in announced)


def test_a_run_killed_before_its_first_checkpoint_just_goes_on(stopped, whole, tmp_path):
    """It has rows and no checkpoint, and status.json says that none was ever complete."""
    workdir = copy(stopped, tmp_path)
    delete_checkpoints(workdir)
    status = json.loads((workdir / 'status.json').read_text())
    for standing in status['trials'].values():
        standing['saved'] = 0
    (workdir / 'status.json').write_text(json.dumps(status))
    assert train(CONFIG, workdir) == rows(whole)


def drop(*places):
    """Without the rows at these places."""

    def lose(file):
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b''.join(line for place, line in enumerate(lines) if place not in places))

    return lose


def cut(file):
    file.write_bytes(file.read_bytes()[:-30])


def alter(file):
    file.write_bytes(file.read_bytes().replace(b'"epoch": 0.', b'"epoch": 1.', 1))


def empty(file):
    file.write_bytes(b'')


def delete(file):
    file.unlink()


ROWS = {'deleted': delete, 'emptied': empty, 'first': drop(0), 'middle': drop(3), 'last': drop(7), 'altered': alter}


@pytest.mark.parametrize('lose', ROWS.values(), ids=ROWS)
def test_rows_that_are_lost_are_missed_when_a_run_goes_on(stopped, whole, tmp_path, lose):
    workdir = copy(stopped, tmp_path)
    lose(workdir / 'metrics.jsonl')
    left = (workdir / 'metrics.jsonl').read_bytes() if (workdir / 'metrics.jsonl').exists() else None
    with pytest.raises(Damaged, match=r'metrics\.jsonl: rows are lost .*--restart_lost'):
        train(CONFIG, workdir)
    assert left is None or (workdir / 'metrics.jsonl').read_bytes() == left
    assert train(CONFIG, workdir, restart_lost=True) == rows(whole)


@pytest.mark.parametrize('lose', [*ROWS.values(), cut], ids=[*ROWS, 'cut'])
def test_rows_that_are_lost_are_missed_when_all_is_done(whole, tmp_path, lose):
    workdir = copy(whole, tmp_path)
    lose(workdir / 'metrics.jsonl')
    with pytest.raises(Damaged, match=r'metrics\.jsonl: rows are lost'):
        train(CONFIG, workdir)
    assert train(CONFIG, workdir, restart_lost=True) == rows(whole)


@pytest.mark.parametrize('lose', [delete, empty, drop(0)], ids=['deleted', 'emptied', 'first'])
def test_rows_that_are_lost_while_it_runs(tmp_path, lose):
    def watch(progress):
        if progress.step == 40:  # of both trials together
            lose(tmp_path / 'run' / 'metrics.jsonl')

    with pytest.raises(Damaged, match=r'metrics\.jsonl'):
        train(CONFIG, tmp_path / 'run', observe=watch)


def test_done_before_the_end_is_not_believed(stopped, whole, tmp_path):
    workdir = copy(stopped, tmp_path)
    status = json.loads((workdir / 'status.json').read_text())
    for standing in status['trials'].values():
        standing['status'] = 'done'
    (workdir / 'status.json').write_text(json.dumps(status))
    announced = []
    assert train(CONFIG, workdir, announce=announced.append) == rows(whole)
    assert any('of 24, says status.json: not believed' in line for line in announced)


BROKEN = ['', 'null', '[]', '5', '{"status": "done"', '{"status": "done", "trials": [1]}', '{"trials": {"0": 5}}', '\0']


@pytest.mark.parametrize('content', BROKEN)
@pytest.mark.parametrize('name', ['status.json', 'config.json'])
def test_a_damaged_json_file_is_named(whole, tmp_path, name, content):
    workdir = copy(whole, tmp_path)
    (workdir / name).write_text(content)
    with pytest.raises(Refusal, match=rf'{name}: found a damaged file .* --workdir') as error:
        train(CONFIG, workdir)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('line', ['null', '5', '[]', '{}', '{"trial": 0}', '{"trial": "0", "step": 1}', '{"trial'])
def test_a_line_that_is_no_row_is_named(whole, tmp_path, line):
    workdir = copy(whole, tmp_path)
    content = (workdir / 'metrics.jsonl').read_text()
    (workdir / 'metrics.jsonl').write_text(f'{line}\n{content}')
    with pytest.raises(Refusal, match=r'metrics\.jsonl: line 1 is no row'):
        train(CONFIG, workdir)


EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='momentum', learning_rate=0.05)
    c.steps, c.batch_size, c.log, c.evaluate, c.checkpoint = 40, 10, 8, 2, 4
    return c
"""


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


def test_what_cannot_be_read_is_not_damaged(stopped, whole, tmp_path, monkeypatch):
    """Memory, files without permission, too many open files: told with the file, and nothing is moved."""
    workdir = copy(stopped, tmp_path)
    before = sorted(path.relative_to(workdir) for path in workdir.rglob('*'))
    load = Checkpoints._load
    for problem in (MemoryError(), PermissionError(13, 'Permission denied', 'x'), OSError(116, 'Stale file handle')):

        def fail(self, step, like, problem=problem):
            raise ValueError('Orbax has words of its own') from problem

        monkeypatch.setattr(Checkpoints, '_load', fail)
        with pytest.raises(OSError) as error:
            train(CONFIG, workdir)
        assert str(workdir / 'checkpoints') in str(error.value.filename)
        assert sorted(path.relative_to(workdir) for path in workdir.rglob('*')) == before
    monkeypatch.setattr(Checkpoints, '_load', load)
    assert train(CONFIG, workdir) == rows(whole)


def test_a_failure_of_unknown_kind_is_judged_by_the_files(stopped, tmp_path, monkeypatch):
    """Files that are as they were written are not moved, whatever the library says of them."""

    def fail(self, step, like):
        raise ValueError('something new')

    monkeypatch.setattr(Checkpoints, '_load', fail)
    with pytest.raises(OSError, match='something new, though its files are as they were written'):
        train(CONFIG, copy(stopped, tmp_path))
    assert not (tmp_path / 'run' / 'checkpoints' / 'damaged').exists()


def test_a_seal_tells_what_is_wrong(tmp_path):
    (tmp_path / 'below').mkdir()
    (tmp_path / 'a').write_bytes(b'abc')
    (tmp_path / 'below' / 'b').write_bytes(b'def')
    assert seal.broken(tmp_path) is None
    seal.seal(tmp_path)
    assert seal.broken(tmp_path) == ''
    (tmp_path / 'a').write_bytes(b'abd')
    assert 'a is not what was written' in seal.broken(tmp_path)
    (tmp_path / 'a').write_bytes(b'ab')
    assert 'a has 2 bytes of 3' in seal.broken(tmp_path)
    (tmp_path / 'a').unlink()
    assert 'a is missing' in seal.broken(tmp_path)


READS = """
import resource, sys
import numpy as np
from lbexp.engine.checkpoint import Checkpoints
like = {'a': np.zeros(3000, np.float32)}
folder, how = sys.argv[1:]
import pathlib
checkpoints = Checkpoints(pathlib.Path(folder))
checkpoints.restore(like)  # everything is imported
if how == 'files':
    taken = [open('/dev/null') for _ in range(4)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(file.fileno() for file in taken) + 1, 4096))
else:
    import os
    os.seteuid(65534)
try:
    checkpoints.restore(like)
    print('restored')
except OSError as error:
    print('told', error.errno, error.filename)
"""


@pytest.mark.parametrize('how', ['files', 'permission'])
def test_a_process_that_may_not_open_files(how):
    """In a process of its own: it gives up its right to open them. What it cannot open stays where it is."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        checkpoints = Checkpoints(ROOT.__class__(folder) / 'trial')
        checkpoints.save(10, {'a': np.ones(3000, np.float32)})
        checkpoints.wait()
        checkpoints.close()
        files = [path for path in (ROOT.__class__(folder) / 'trial').rglob('*') if path.is_file()]
        if how == 'permission':
            if os.geteuid():
                return  # it has no rights to give up
            for path in files:
                path.chmod(0o600)
        environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'JAX_PLATFORMS': 'cpu'}
        arguments = [sys.executable, '-c', READS, f'{folder}/trial', how]
        done = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=120)
        assert done.stdout.startswith(('told', 'restored')), done.stdout + done.stderr[-2000:]
        assert how == 'files' or done.stdout.startswith('told 13')
        assert all(path.exists() for path in files)
