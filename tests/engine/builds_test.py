"""How often a workload is built, which may read its data: once, however many trials have it."""

import collections
import functools

import pytest
from training import tiny

from lbexp import config as configs
from lbexp.config import check
from lbexp.engine.run import build_once
from lbexp.workloads import linear_regression


@pytest.fixture
def builds(monkeypatch):
    """How often linear_regression was called, by its size."""
    counts, function = collections.Counter(), linear_regression.linear_regression

    @functools.wraps(function)
    def counted(*arguments, **named):
        counts[named['size']] += 1
        return function(*arguments, **named)

    monkeypatch.setattr(linear_regression, 'linear_regression', counted)
    return counts


def study(rates, sizes):
    """Trials of every rate and size, and of two seeds."""
    config = tiny(steps=None, epochs=2.0)
    learning_rates = tuple(0.01 + 0.001 * i for i in range(rates))
    config.sweep = (
        ('workload.size', sizes),
        ('optimizer.learning_rate', learning_rates),
        ('seed', (0, 1)),
    )
    return config


def resolved(config):
    return [configs.resolve(config, overrides) for overrides in configs.trials(config)]


def test_a_workload_is_built_once_for_many_trials(builds):
    config = study(rates=22, sizes=(101, 102))
    assert check.check(config) == []
    trials = resolved(config)
    build_once(trials)
    assert len(trials) == 88
    assert builds == {101: 1, 102: 1}


def test_data_that_changed_are_read_again(builds):
    trials = resolved(study(rates=1, sizes=(103,)))
    build_once(trials)
    build_once(trials)
    assert builds == {103: 2}


def test_what_is_planned_does_not_depend_on_the_number_of_trials(builds):
    build_once(resolved(study(rates=2, sizes=(104,))), trace=True)
    build_once(resolved(study(rates=8, sizes=(105,))), trace=True)
    assert builds[104] == builds[105]
