"""Weight decay against batch size: planted optima give their power, and their claims."""

import pathlib

import numpy as np
import pytest
from planted import outcomes, planted
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, UNDECIDED
from lbexp.config import check

ROOT = pathlib.Path(__file__).parents[2]


def experiment(**study):
    config = configs.load(str(ROOT / 'experiments' / 'weight_decay_with_batch.py'))
    config.study.update({'budget': 12, 'seeds': 1, 'tunings': 6, **study})
    return config


def of_power(power, cost):
    """The best decay is 0.1 (B / 16)^power; an e-fold off costs `cost` of test error."""

    def best(config):
        return 0.1 * (config['batch_size'] / 16) ** power

    def error(config):
        assert config['optimizer']['learning_rate'] == 0.003
        return 0.1 + cost * abs(np.log(config['optimizer']['weight_decay'] / best(config)))

    return planted(error, lambda config: config['optimizer']['weight_decay'], best)


@pytest.mark.parametrize(
    'power, cost, expected',
    [
        (1.0, 0.02, [REPRODUCED, REPRODUCED]),
        (0.0, 0.02, [NOT_REPRODUCED, UNDECIDED]),
        (-0.5, -0.02, [NOT_REPRODUCED, NOT_REPRODUCED]),
    ],
)
def test_claims_follow_the_power(tmp_path, power, cost, expected):
    rounds(experiment(), tmp_path, of_power(power, cost))
    found = analysis(experiment(), tmp_path)
    assert outcomes(found) == expected
    middle = float(found.claims[0].measured.split()[1])
    assert middle == pytest.approx(power, abs=0.25)


def test_a_batch_size_without_a_best_decay_leaves_its_tuning_open(tmp_path):
    answer = of_power(1.0, 0.02)

    def rows(config):
        if config['batch_size'] == 256 and config['seed'] == 0:
            return [dict(step=1, loss=None)], 'diverged'
        return answer(config)

    rounds(experiment(), tmp_path, rows)
    proportional = analysis(experiment(), tmp_path).claims[0]
    assert proportional.outcome == UNDECIDED and '1 of 6 diverged' in proportional.measured


def test_bad_arguments_are_told_in_one_line():
    (problem,) = check.check(experiment(batch_sizes=(16, 16)))
    assert 'batch_sizes: found (16, 16)' in problem
