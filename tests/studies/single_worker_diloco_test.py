"""Outer momentum around one worker: what is trained, and what is claimed of planted errors."""

import pathlib

import pytest
from planted import outcomes, planted
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from lbexp.config import check

ROOT = pathlib.Path(__file__).parents[2]


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'single_worker_diloco.py'))
    config.study.update({'budget': 2, 'seeds': 6, 'tunings': 1, **study})
    return config


def of_ways(inner, lookahead, snoo):
    def error(config):
        assert config['optimizer']['name'] == 'adamw' and config['batch_size'] == 32
        way = config.get('replicas')
        if not way:
            return inner
        assert (way['name'], way['workers'], way['k']) == ('local_sgd', 1, 20)
        assert way['slow_step_size'] == 0.8 and way.get('nesterov', True)
        if way['outer_momentum'] == 0:
            return lookahead
        assert way['outer_momentum'] == 0.75
        return snoo

    return planted(error)


@pytest.mark.parametrize(
    'errors, expected',
    [
        ((0.12, 0.11, 0.1), [REPRODUCED, REPRODUCED]),
        ((0.1, 0.12, 0.11), [NOT_REPRODUCED, REPRODUCED]),
        ((0.12, 0.1, 0.11), [REPRODUCED, NOT_REPRODUCED]),
        ((0.1, 0.1, 0.1), [UNDECIDED, UNDECIDED]),
    ],
)
def test_claims_follow_the_errors(tmp_path, errors, expected):
    rounds(experiment(), tmp_path, of_ways(*errors))
    found = analysis(experiment(), tmp_path)
    assert outcomes(found) == expected
    verdicts = {REPRODUCED: True, NOT_REPRODUCED: False, UNDECIDED: None}
    worst = max(expected, key=[REPRODUCED, NOT_REPRODUCED, UNDECIDED].index)
    assert found.passed is verdicts[worst]


def test_an_arm_without_a_point_decides_nothing(tmp_path):
    rounds(experiment(), tmp_path, of_ways(0.12, None, 0.1))
    assert outcomes(analysis(experiment(), tmp_path)) == [REPRODUCED, UNDECIDED]


def test_bad_arguments_are_told_in_one_line():
    (problem,) = check.check(experiment(outer_momentum=1.0))
    assert 'outer_momentum' in problem
