"""A disk that fills up, at every file that a run writes: it is named, and what was saved stays
good."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from jobs import ROOT, environment
from training import tiny, train
from workdirs import fill

from lbexp.engine import status as standing
from lbexp.engine.status import statuses

pytestmark = [
    pytest.mark.usefixtures('collected', 'shared_programs'),
    pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning'),
    pytest.mark.processes,
]


def wide(**more):
    """24 updates, 6 rows, 3 checkpoints: after 8, 16 and 24 updates, of some 300 kB each."""
    return tiny(workload=dict(name='digits_mlp', hidden=(512,)), **{'num_checkpoints': 3, **more})


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    return train(wide(), tmp_path_factory.mktemp('whole'))


def saved(workdir):
    """The step of the last complete checkpoint: the files of one may be there before it is."""
    return statuses(workdir).get(0, {}).get('saved', 0)


def when_full(disk, step, leave):
    """Fills the disk after so many updates, when what was to be saved until then is there."""

    def watch(progress):
        if progress.step == step and not (disk / 'filler').exists():
            while step > 8 and saved(disk / 'run') < 8:
                time.sleep(0.01)
            fill(disk, leave)

    return watch


@pytest.mark.parametrize(
    'step, leave, file, last',
    [
        (4, 0, '', None),
        (12, 0, '', 8),  # whatever comes first
        (12, 40_000, 'checkpoints', 8),  # room for rows, and for a part of the checkpoint
    ],
)
def test_what_does_not_fit_is_named_and_what_was_saved_stays_good(
    disk, whole, step, leave, file, last
):
    with pytest.raises(OSError) as error:
        train(wide(), disk / 'run', on_progress=when_full(disk, step, leave))
    left = (
        f'the last good checkpoint is that of step {last}' if last else 'there is no checkpoint yet'
    )
    assert str(error.value).startswith(f'[Errno 28] No space left on device; {left}')
    assert str(error.value.filename).startswith(str(disk / 'run' / file))
    (disk / 'filler').unlink()
    assert train(wide(), disk / 'run') == whole
    assert not (disk / 'run' / 'checkpoints' / 'damaged').exists()


def test_rows_that_are_cut_by_a_full_disk(disk):
    """A write for which there is room in part is no error to the system: the row is torn, and the
    run must end."""
    config = tiny(steps=400, num_rows=400, num_checkpoints=4, num_evaluations=1)
    whole = train(config, disk / 'whole')
    shutil.rmtree(disk / 'whole')

    def watch(progress):
        if saved(disk / 'run') >= 100 and not (disk / 'filler').exists():
            fill(disk)

    with pytest.raises(OSError, match=r'the last good checkpoint is that of step \d00'):
        train(config, disk / 'run', on_progress=watch)
    (disk / 'filler').unlink()
    assert train(config, disk / 'run') == whole


def test_the_status(disk, monkeypatch):
    """All else was written before the disk is full; the same command then has nothing left to do
    but to say so."""
    config, write = tiny(), standing.write_status

    def last(workdir, status, trials):
        if status == 'done':
            fill(disk)
        write(workdir, status, trials)

    monkeypatch.setattr(standing, 'write_status', last)
    with pytest.raises(OSError, match='the last good checkpoint is that of step 24') as error:
        train(config, disk / 'run')
    assert error.value.filename == str(disk / 'run' / 'status.json')
    assert statuses(disk / 'run')[0]['step'] == 24  # the one before is whole
    (disk / 'filler').unlink()
    monkeypatch.undo()
    before = (disk / 'run' / 'metrics.jsonl').read_bytes()
    train(config, disk / 'run')
    assert (disk / 'run' / 'metrics.jsonl').read_bytes() == before


EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='sgd', learning_rate=0.05)
    c.steps, c.batch_size = 2000, 16
    c.num_rows, c.num_evaluations, c.num_checkpoints = 40, 1, 20
    return c
"""


@pytest.fixture
def sealed(tmp_path):
    """A folder of a run in which no checkpoint can be begun, not even by root."""
    folder = tmp_path / 'run' / 'checkpoints' / 'trial-00000'
    folder.mkdir(parents=True)
    seal, unseal = (
        (['chattr', '+i'], ['chattr', '-i'])
        if os.geteuid() == 0
        else (['chmod', '500'], ['chmod', '700'])
    )
    subprocess.run([*seal, str(folder)], check=True)
    yield tmp_path / 'run'
    subprocess.run([*unseal, str(folder)], check=True)


@pytest.mark.parametrize('place', ['disk', 'sealed'])
def test_the_command_says_so_in_one_line_and_ends(place, tmp_path, request):
    """Nothing of Orbax's threads is heard, and none is waited for: some wait for five minutes."""
    folder = request.getfixturevalue(place)
    (tmp_path / 'experiment.py').write_text(EXPERIMENT)
    if place == 'disk':
        fill(folder, 120_000)
    command = [
        sys.executable,
        '-m',
        'lbexp.main',
        f'--config={tmp_path}/experiment.py',
        f'--workdir={folder}',
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith('step ')]
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    assert re.match(
        (
            r'lbexp: .*; (there is no checkpoint yet|the last good checkpoint is that of '
            r'step)'
        ),
        lines[0],
    )
    assert str(folder) in lines[0]
