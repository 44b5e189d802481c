"""What a save or a read holds is given back: a run of many days makes thousands of them."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from lbexp.engine.checkpoint import Checkpoints
from lbexp.parallel import hosts

pytestmark = pytest.mark.skipif(
    not os.path.exists('/proc/self/fd'), reason='Linux tells what is open'
)
TREE = {'a': np.arange(3)}
TIMES = 8


def held():
    return np.array([threading.active_count(), len(os.listdir('/proc/self/fd'))])


def is_given_back(before, after):
    """Orbax has up to three threads that come and go; one more each time is a leak."""
    return np.all(after - before < TIMES / 2)


@pytest.mark.parametrize('processes', [1, 2])
def test_saves_leave_no_thread_and_no_descriptor(tmp_path, monkeypatch, processes):
    monkeypatch.setattr(hosts, 'count', lambda: processes)  # of several Orbax saves by itself
    checkpoints = Checkpoints(tmp_path / 'trial')
    for step in range(TIMES + 1):
        checkpoints.save(step, TREE)
        checkpoints.wait()
        if step == 0:
            first = held()  # what it opens, later ones use
    assert is_given_back(first, held())
    checkpoints.close()


def test_reads_leave_no_thread_and_no_descriptor(tmp_path):
    checkpoints = Checkpoints(tmp_path / 'trial')
    checkpoints.save(1, TREE)
    checkpoints.wait()
    checkpoints.close()
    for time in range(TIMES + 1):
        checkpoints = Checkpoints(tmp_path / 'trial')
        assert checkpoints.restore(TREE) is not None
        checkpoints.close()
        if time == 0:
            first = held()
    assert is_given_back(first, held())


# Of a process of its own: others raise the peak of this one.
_PEAK = """
import pathlib, sys
import numpy as np
from lbexp.engine.checkpoint import Checkpoints

def peak():
    lines = pathlib.Path('/proc/self/status').read_text().splitlines()
    (line,) = [line for line in lines if line.startswith('VmHWM')]
    return int(line.split()[1]) * 1024

checkpoints = Checkpoints(pathlib.Path(sys.argv[1]))
checkpoints.save(1, {'small': np.ones((1, 3))})
checkpoints.wait()
state = {'large': np.ones((1, 4096, 8192), np.float32)}
before = peak()
checkpoints.save(2, state)
checkpoints.wait()
print((peak() - before) / state['large'].nbytes)
"""


@pytest.mark.processes
def test_a_save_takes_the_copy_that_training_needs_and_no_other(tmp_path):
    """Of one trial, whose arrays begin with an axis of one."""
    command = [sys.executable, '-c', _PEAK, str(tmp_path / 'trial')]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert float(printed) < 1.5
