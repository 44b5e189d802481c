"""What tests of workdirs share: a run that was stopped and one that is whole, programs that are
built once, and a disk that fills up."""

import errno
import gc
import os
import pathlib
import shutil
import subprocess

import jax
import numpy as np
import pytest
from training import tiny, train

from lbexp.engine import run
from lbexp.engine.status import statuses

# One cohort: 6 rows a trial, checkpoints after steps 12 and 24.
LOSABLE = tiny(sweep=(('seed', (0, 1)),))
DISK_SIZE = 4 << 20  # bytes

_programs = {}
_build_program = run.program


@pytest.fixture(autouse=True, scope='module')
def compiled_programs_are_freed():
    """Linux allows a process 65,530 mappings; each compiled program takes some, to a crash."""
    yield
    mappings = pathlib.Path('/proc/self/maps')
    if mappings.exists() and len(mappings.read_text().splitlines()) > 15_000:
        _programs.clear()
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope='module')
def shared_programs():
    """Equal cohorts are traced and compiled once in this process, where a test is about files."""

    def program(cohort, *layout):
        with np.printoptions(threshold=np.inf):
            key = repr((cohort._replace(trials=len(cohort.trials)), layout))
        if key not in _programs:
            _programs[key] = _build_program(cohort, *layout)
        return _programs[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, 'program', program)
        yield


@pytest.fixture(scope='module')
def collected():
    """Orbax leaves tasks behind where a read or a write fails, which complain when they are
    collected: here, not in another module."""
    yield
    gc.collect()


@pytest.fixture(scope='session')
def stopped(tmp_path_factory):
    """A run of two trials that was stopped after its first checkpoint. To be copied."""
    folder = tmp_path_factory.mktemp('stopped')
    answers = iter([False] * 4)
    train(LOSABLE, folder, should_stop=lambda: next(answers, True))
    assert statuses(folder)[0]['status'] == 'running' and statuses(folder)[0]['saved'] >= 12
    return folder


@pytest.fixture(scope='session')
def whole(tmp_path_factory):
    """The same run, trained to its end. To be copied."""
    folder = tmp_path_factory.mktemp('whole')
    train(LOSABLE, folder)
    return folder


def copy(folder: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(folder, tmp_path / 'run')


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own."""
    folder = tmp_path / 'disk'
    folder.mkdir()
    mount = ['mount', '-t', 'tmpfs', '-o', f'size={DISK_SIZE}', 'none', str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f'needs the right to mount: {done.stderr}')
    yield folder
    subprocess.run(['umount', '--lazy', str(folder)], check=True)
    gc.collect()


def fill(disk: pathlib.Path, leave: int = 0):
    """Takes what is free, but for some bytes.

    Until the disk says no: others write meanwhile, and what it says is free may be too much."""
    page = b'x' * os.statvfs(disk).f_frsize
    with open(disk / 'filler', 'xb', buffering=0) as filler:
        try:
            while filler.write(page):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
        filler.truncate(filler.tell() - leave)
