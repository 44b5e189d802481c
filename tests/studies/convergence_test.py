"""Rates of convergence, without training: planted norms give known claims."""

import math
import pathlib

import numpy as np
import pytest
from planted import outcomes
from rounds import analysis, rounds

from lbexp import config as configs
from lbexp.analysis import NOT_REPRODUCED, REPRODUCED
from lbexp.studies._presentation.convergence import Gain, agreement, regimes

ROOT = pathlib.Path(__file__).parents[2]


def radius(optimizer, a):
    """Spectral radius per update on curvature a, of momentum or of Lookahead around it."""
    inner = optimizer.get('inner', optimizer)
    rate, beta = inner['learning_rate'], inner['momentum']
    step = np.array([[1 - rate * a, -rate * beta], [a, beta]])
    if inner is optimizer:
        return np.abs(np.linalg.eigvals(step)).max()
    k, alpha = optimizer['k'], optimizer['slow_step_size']
    cycle = np.diag([alpha, 1.0]) @ np.linalg.matrix_power(step, k)
    cycle[0, 0] += 1 - alpha
    if optimizer['buffer_policy'] == 'reset':
        cycle = cycle[:1, :1]
    return np.abs(np.linalg.eigvals(cycle)).max() ** (1 / k)


@pytest.mark.long
@pytest.mark.parametrize(
    'factors, expected',
    [
        ([1.0, 1.0, 1.0], REPRODUCED),
        # one rate is off by less than the tolerance, the median by nothing
        ([1.0, 1.05, 1.0], REPRODUCED),
        ([1.0, 1.15, 1.0], NOT_REPRODUCED),
        ([1.02, 1.02, 1.02], NOT_REPRODUCED),
    ],
)
def test_planted_rates_are_judged(tmp_path, factors, expected):
    config = configs.load(str(ROOT / 'experiments' / 'quadratic_convergence.py'))
    config.study = dict(name='convergence', conditions=(10.0,), momenta=(0.9,))
    shares = iter(factors)

    def rows(trial):
        spectrum = np.array(trial['workload']['spectrum'])
        assert spectrum.min() == pytest.approx(0.1) and spectrum.max() == pytest.approx(1.0)
        slowest = max(radius(trial['optimizer'], a) for a in spectrum)
        log_radius = math.log1p(-next(shares) * (1 - slowest))
        steps = np.linspace(0, trial['steps'], 101)[1:]
        norms = np.exp(38.0 + log_radius * steps)
        return [
            {'step': round(t), 'parameter_norm': float(norm)}
            for t, norm in zip(steps, norms, strict=True)
        ], 'done'

    rounds(config, tmp_path, rows)
    found = analysis(config, tmp_path)
    assert outcomes(found)[0] == expected
    assert found.passed is (expected == REPRODUCED)
    # the theory's own: Lookahead loses at beta 0.9, by more than its slow step costs
    assert outcomes(found)[1:] == [NOT_REPRODUCED, NOT_REPRODUCED]


def test_agreement_asks_for_the_median_and_the_worst():
    assert agreement([0.0, 0.009, 0.05], 0.1).outcome == REPRODUCED
    assert agreement([0.0, 0.011, 0.05], 0.1).outcome == NOT_REPRODUCED
    assert agreement([0.0, 0.009, 0.11], 0.1).outcome == NOT_REPRODUCED


def test_momentum_is_under_damped_up_to_the_condition_number_of_its_claim():
    """beta 0.25: every mode of 1 / 9 to 1 oscillates at one rate, those of 1 / 9.1 to 1 do not."""
    under, over = Gain(2.0, 8.9, 0.25), Gain(0.5, 9.1, 0.25)
    first, second = regimes([under, over], 20, 0.5)
    assert first.measured.startswith('faster at 1 of 1') and 'at 1 condition' in second.measured
    rates = np.linspace(0.01, 3.0, 3000)
    for condition, oscillate in ((8.9, True), (9.1, False)):
        curvatures = np.array([1 / condition, 1.0])
        trace = 1 + 0.25 - rates[:, None] * curvatures
        assert np.any(np.all(trace**2 < 4 * 0.25, axis=1)) is np.bool_(oscillate)


@pytest.mark.parametrize(
    'under, over, expected',
    [
        ([1.1, 2.0], [0.6, 0.51], [REPRODUCED, REPRODUCED]),
        ([0.9, 2.0], [0.6, 0.5], [NOT_REPRODUCED, REPRODUCED]),
        ([1.1, 2.0], [0.6, 0.45], [REPRODUCED, NOT_REPRODUCED]),
    ],
)
def test_one_condition_number_decides(under, over, expected):
    gains = [Gain(ratio, 10.0, 0.9) for ratio in under]
    gains += [Gain(ratio, 1e6, 0.9) for ratio in over]
    assert [claim.outcome for claim in regimes(gains, 20, 0.5)] == expected
