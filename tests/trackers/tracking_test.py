"""A tracker is never on the way of training: what it breaks is told, and the rows are the same."""

import math
import threading
import time
import types

import numpy as np
import pytest
from training import tiny, train

import lbexp
from lbexp.config import lookup
from lbexp.engine import tracking
from lbexp.errors import RunFailed
from lbexp.trackers import TrackedCohort, Tracker, numbers


def broken(place):
    """A tracker that fails in one of its functions."""

    def fail(*_):
        raise ConnectionError('no such host')

    functions = dict.fromkeys(Tracker._fields, lambda *_: None)
    return lambda: Tracker(**{**functions, place: fail})


@pytest.fixture
def module(monkeypatch):
    """A module of somebody's trackers."""
    module = types.ModuleType('own_trackers')
    monkeypatch.setitem(lookup.importlib.sys.modules, 'own_trackers', module)
    return module


@pytest.fixture(scope='module')
def expected(tmp_path_factory):
    return train(tiny(), tmp_path_factory.mktemp('without'), trackers=())


@pytest.mark.parametrize('place', Tracker._fields)
def test_what_a_tracker_breaks_is_told_and_training_goes_on(tmp_path, module, expected, place):
    module.mine, lines = broken(place), []
    rows = train(tiny(), tmp_path, trackers=['own_trackers:mine'], log=lines.append)
    (line,) = [line for line in lines if line.startswith('tracker')]
    assert line.startswith('tracker own_trackers:mine: ConnectionError: no such host')
    assert line.endswith('training goes on without it')
    assert rows == expected


def test_a_tracker_that_hangs_is_left_alone(tmp_path, module, expected, monkeypatch):
    monkeypatch.setattr(tracking.Tracking.finish, '__defaults__', (0.2,))
    released, lines = threading.Event(), []
    module.mine = lambda: Tracker(lambda cohort: released.wait(60), None, None)
    began = time.monotonic()
    rows = train(tiny(), tmp_path, trackers=['own_trackers:mine'], log=lines.append)
    released.set()
    assert time.monotonic() - began < 50
    assert any('still busy after 0 s, and left alone' in line for line in lines)
    assert rows == expected


def test_a_tracker_hears_of_everything_once_and_in_order(tmp_path, module):
    heard = []

    def begin(cohort):
        heard.append(cohort)
        return len(heard)

    def write(session, rows):
        assert session == 1
        heard.extend(rows)

    module.mine = lambda: Tracker(begin, write, lambda session, statuses: heard.append(statuses))
    config = tiny(sweep=(('seed', (3, 4)),))
    rows = train(config, tmp_path / 'mine', trackers=['own_trackers:mine'])
    cohort, *written, statuses = heard
    assert isinstance(cohort, TrackedCohort) and cohort.run == 'mine' and not cohort.rows
    assert [trial.config['seed'] for trial in cohort.trials] == [3, 4]
    assert statuses == {0: 'done', 1: 'done'}
    places = [(row['step'], row['trial']) for row in written]
    assert places == sorted((row['step'], row['trial']) for row in rows)
    assert not (tmp_path / 'mine' / 'tensorboard').exists()


def test_a_run_that_failed_is_told_so(tmp_path, module):
    ends, ended = [], threading.Event()

    def finish(session, statuses):
        ends.append(statuses)
        ended.set()

    def stop():
        raise RuntimeError('the caller')

    module.mine = lambda: Tracker(lambda cohort: None, lambda *_: None, finish)
    with pytest.raises(RuntimeError, match='the caller'):
        train(tiny(), tmp_path, trackers=['own_trackers:mine'], should_stop=stop)
    assert ended.wait(30) and ends == [{0: 'failed'}]


def test_a_tracker_that_is_not_there_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(lookup.importlib.sys.modules, 'wandb', None)  # as if not installed
    with pytest.raises(RunFailed) as failure:
        lbexp.run(tiny(), {}, tmp_path / 'run', trackers=['tensorbord', 'wandb'], show=False)
    first, second = failure.value.lines
    assert first.startswith("--trackers: no tracker is named 'tensorbord'. Did you mean 'tensor")
    assert second == '--trackers: wandb: not installed; pip install lbexp[wandb]'
    assert failure.value.status == 2 and not (tmp_path / 'run').exists()


def test_numbers_are_taken_out_of_whatever_a_row_may_hold():
    row = {'trial': 0, 'step': 2, 'resolved': True, 'bound': np.bool_(False), 'loss': math.inf}
    row |= {'values': [1.0, 2.0], 'missing': None, 'text': 'x', 'rate': np.float32(0.1), 'count': 3}
    assert numbers(row) == {
        'train/resolved': 1.0,
        'train/bound': 0.0,
        'train/rate': 0.1,
        'train/count': 3.0,
    }
