"""What a save holds is given back: a run of many days makes thousands of them."""

import os
import threading

import numpy as np
import pytest

from lbexp.engine.checkpoint import Checkpoints
from lbexp.parallel import hosts


@pytest.mark.skipif(not os.path.exists('/proc/self/fd'), reason='Linux tells what is open')
@pytest.mark.parametrize('processes', [1, 2])
def test_saves_leave_no_thread_and_no_descriptor(tmp_path, monkeypatch, processes):
    monkeypatch.setattr(hosts, 'count', lambda: processes)  # of several Orbax saves by itself
    checkpoints = Checkpoints(tmp_path / 'trial')
    held = []
    for step in range(1, 7):
        checkpoints.save(step, {'a': np.arange(3)})
        checkpoints.wait()
        held.append((threading.active_count(), len(os.listdir('/proc/self/fd'))))
    checkpoints.close()
    # the first opens what later ones use
    assert held[-1] == held[1]
