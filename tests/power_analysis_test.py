"""What a study can see: the power of the rule that judges claims, by simulation with that rule, and
budgets that need what they detect."""

import math

import numpy as np
import pytest

from lbexp import crossed, power_analysis
from lbexp.analysis import REPRODUCED, above, claim_interval
from lbexp.power_analysis import Budget, Spread

pytestmark = pytest.mark.quick


@pytest.mark.parametrize('draws', [6, 8, 9, 15, 30])
def test_the_detectable_effect_is_decided_in_four_of_five_studies(draws):
    """2,000 studies by the rule that claims are judged by; four standard errors are 0.036."""
    effect = power_analysis.detectable(0.5, draws)
    assert power_analysis.power(effect, 0.5, draws) == pytest.approx(0.8)
    studies = np.random.default_rng(draws).normal(effect, 0.5, size=(2000, draws))
    decided = [above(claim_interval(effects)) == REPRODUCED for effects in studies]
    assert abs(np.mean(decided) - 0.8) < 0.036


def test_six_draws_by_hand():
    """All six above 0: Phi(effect / deviation)^6 = 0.8, Phi(1.7923) = 0.96349."""
    assert power_analysis.detectable(1.0, 6) == pytest.approx(1.7923, abs=1e-3)
    assert power_analysis.power(0.0, 1.0, 6) == pytest.approx(1 / 64)
    assert power_analysis.power(1.0, 0.0, 6) == 1.0 and power_analysis.power(-1.0, 0.0, 6) == 0.0


def test_fewer_than_six_draws_see_nothing():
    assert math.isnan(power_analysis.detectable(0.1, 5)) and power_analysis.power(9, 0.1, 5) == 0
    assert math.isnan(power_analysis.detectable(math.nan, 9))


def test_variances_of_tunings_and_seeds_have_the_right_means():
    """500 pilots of 8 tunings of 4 seeds; four standard errors of the mean estimate."""
    random = np.random.default_rng(0)
    estimates = []
    for _ in range(500):
        tuned = 0.1 + 0.2 * random.standard_normal((8, 1)) + 0.3 * random.standard_normal((8, 4))
        estimates.append(power_analysis.spread_of(list(tuned))[:2])
    estimates = np.array(estimates)
    error = 4 * estimates.std(axis=0) / math.sqrt(500)
    # a cut at 0 lifts the mean of the tunings' a little
    assert np.all(np.abs(estimates.mean(axis=0) - [0.04, 0.09]) < error + [0.002, 0])


def test_variances_by_hand():
    spread = power_analysis.spread_of([np.array([1.0, 3.0]), np.array([6.0, 8.0, math.nan])])
    assert spread[:2] == (12.5 - 2.0 / 2, 2.0)
    one = power_analysis.spread_of([np.array([1.0, 3.0, 2.0])])
    assert math.isnan(one.tuning) and one.seed == 1.0
    each = power_analysis.spread_of([np.array([1.0]), np.array([3.0])])
    assert each[:2] == (2.0, 0.0)
    assert all(math.isnan(variance) for variance in power_analysis.spread_of([np.array([1.0])]))


@pytest.mark.parametrize('tunings, seeds', [(6, 2), (20, 1), (1, 12)])
def test_the_effect_that_a_budget_detects_over_examples_too(tunings, seeds):
    """2,000 crossed studies of 100 examples, decided by both intervals: at least 0.7 and 0.83 at
    most, as each of the two has a power of 0.8 or more."""
    spread = Spread(tuning=0.0004, seed=0.0006, example=0.05)
    budget = Budget(tunings, seeds, 100)
    effect = power_analysis.detectable_effect(spread, budget)
    draws = tunings if tunings > 1 else seeds
    variance = spread.tuning + spread.seed / seeds if tunings > 1 else spread.seed
    assert effect > power_analysis.detectable(math.sqrt(variance), draws)
    random = np.random.default_rng(tunings)
    decided = 0
    for _ in range(2000):
        effects = effect + math.sqrt(variance) * random.standard_normal((draws, 1))
        effects = effects + math.sqrt(spread.example) * random.standard_normal(100)
        _, low, _ = crossed.two_way_interval(effects)
        decided += low > 0 and above(claim_interval(effects.mean(axis=1))) == REPRODUCED
    assert 0.7 < decided / 2000 < 0.83


def test_what_is_needed_detects_the_margin_and_one_less_does_not():
    spread, budget = Spread(1e-4, 2e-4, 0.02), Budget(6, 4, 10_000)
    for needed, budget_of in (
        (power_analysis.tunings_needed, lambda count: budget._replace(tunings=count)),
        (power_analysis.seeds_needed, lambda count: budget._replace(tunings=1, seeds=count)),
    ):
        count = needed(spread, budget, 0.01)
        assert count > 6
        assert power_analysis.detectable_effect(spread, budget_of(count)) <= 0.01
        assert power_analysis.detectable_effect(spread, budget_of(count - 1)) > 0.01
    # a test set too small for any number of seeds
    assert power_analysis.tunings_needed(spread, budget._replace(examples=100), 0.01) is None
    # 0.02 (1.959964 + 0.841621)^2 / 0.0001
    assert power_analysis.examples_needed(spread, 0.01) == math.ceil(0.02 * 7.848880 / 1e-4)
    assert power_analysis.examples_needed(spread._replace(example=math.nan), 0.01) is None
