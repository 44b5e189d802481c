"""When checkpoints are made: as many as are asked for, and by themselves no more than pay."""

import pytest
from training import rows, tiny, train

from lbexp.engine import checkpoint, cohort_runner

pytestmark = pytest.mark.usefixtures('collected', 'shared_programs')


@pytest.fixture
def begun(monkeypatch):
    """Ticks of the checkpoints that are begun."""
    ticks, save = [], checkpoint.Checkpoints.save

    def noted(self, step, *arguments, **how):
        ticks.append(step)
        save(self, step, *arguments, **how)

    monkeypatch.setattr(checkpoint.Checkpoints, 'save', noted)
    return ticks


def test_a_short_run_saves_at_its_end_alone(tmp_path, begun):
    train(tiny(num_checkpoints='auto'), tmp_path)
    assert begun == [24]


def test_of_a_long_one_five_are_evenly_spaced(tmp_path, begun, monkeypatch):
    monkeypatch.setattr(cohort_runner, '_AUTO_SECONDS', 0.0)
    train(tiny(num_checkpoints='auto', num_rows=12), tmp_path)
    assert begun == [6, 10, 16, 20, 24, 24]


def test_one_that_is_too_young_is_left_out(tmp_path, begun, monkeypatch):
    """Rows 2 s apart, checkpoints due at 6, 10, 16, 20 and 24 s: those at 10 and 20 s are made."""
    clock = Clock()
    monkeypatch.setattr(cohort_runner, 'time', clock)
    config = tiny(num_checkpoints='auto', num_rows=12)
    train(config, tmp_path, on_progress=clock.advance)
    assert begun == [10, 20, 24]


class Clock:
    """A row takes 2 s."""

    now = 0.0

    def monotonic(self):
        return self.now

    def advance(self, progress):
        self.now += 2.0


def test_a_number_is_held_to_the_letter(tmp_path, begun):
    train(tiny(num_checkpoints=3), tmp_path)
    assert begun == [8, 16, 24, 24]


def test_interrupted_it_saves_and_goes_on_to_the_same_end(tmp_path, begun):
    whole = train(tiny(num_checkpoints='auto'), tmp_path / 'whole')
    del begun[:]
    left = iter([False] * 2)
    train(tiny(num_checkpoints='auto'), tmp_path / 'cut', should_stop=lambda: next(left, True))
    assert len(begun) == 1 and 0 < begun[0] < 24
    train(tiny(num_checkpoints='auto'), tmp_path / 'cut')
    assert rows(tmp_path / 'cut') == whole
