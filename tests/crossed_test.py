"""Intervals over seeds and examples: mean squares by hand, limits in which one sample is all there
is, and coverage."""

import math

import numpy as np
import pytest

from lbexp import crossed, inference
from lbexp.errors import Refusal


def drawn(random, studies, draws, examples, draw=0.0, example=0.0, rest=0.0, mean=0.0):
    """[studies, draws, examples] normal effects with these standard deviations."""
    effects = mean + rest * random.standard_normal((studies, draws, examples))
    effects += draw * random.standard_normal((studies, draws, 1))
    return effects + example * random.standard_normal((studies, 1, examples))


@pytest.mark.quick
def test_mean_squares_of_a_small_table():
    """Two draws of three examples, by hand: means 2, 4; 1.5, 3, 4.5; 3; no rest but +-0.5."""
    effects = np.array([[0.0, 2.0, 4.0], [3.0, 4.0, 5.0]])
    of_draws, of_examples, of_rest = 3 * (1 + 1) / 1, 2 * (1.5**2 + 1.5**2) / 2, 4 * 0.25 / 2
    found = crossed.components(effects)
    assert found.draw == pytest.approx((of_draws - of_rest) / 3)
    assert found.example == pytest.approx((of_examples - of_rest) / 2)
    assert found.rest == pytest.approx(of_rest) and found[3:] == (2, 3)
    total = of_draws + of_examples - of_rest
    freedom = total**2 / (of_draws**2 + of_examples**2 / 2 + of_rest**2 / 2)
    value, low, high = crossed.two_way_interval(effects)
    margin = inference.student(freedom, 0.95) * math.sqrt(total / 6)
    assert (value, low, high) == pytest.approx((3, 3 - margin, 3 + margin))


@pytest.mark.quick
@pytest.mark.parametrize('axis', [0, 1])
def test_where_one_sample_does_not_matter_it_is_students_interval_of_the_other(axis):
    values = np.random.default_rng(0).normal(2.0, 1.0, size=7)
    effects = np.repeat(np.expand_dims(values, 1 - axis), 40, axis=1 - axis)
    found = crossed.two_way_interval(effects)
    assert found == pytest.approx(inference.mean_interval(values))
    variances = crossed.components(effects)
    of_values = variances.draw if axis == 0 else variances.example
    assert of_values == pytest.approx(values.var(ddof=1)) and variances.rest < 1e-20


@pytest.mark.quick
def test_components_have_the_right_means():
    """400 studies; four standard errors of the mean estimate."""
    random = np.random.default_rng(1)
    studies = drawn(random, 400, 8, 60, draw=0.3, example=0.5, rest=0.8)
    estimates = np.array([crossed.components(effects)[:3] for effects in studies])
    error = estimates.std(axis=0) / 20
    assert np.all(np.abs(estimates.mean(axis=0) - np.array([0.09, 0.25, 0.64])) < 4 * error)


CASES = {
    'seeds': dict(draw=0.02, example=0.02, rest=0.05),
    'both': dict(draw=0.02, example=0.15, rest=0.2),
    'examples': dict(draw=0.002, example=0.3, rest=0.2),
}


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('draws', [6, 10, 20])
def test_intervals_over_seeds_and_examples_cover(case, draws):
    """2,000 studies of 200 examples: between 93 and 97 percent, within the error of such a share
    (0.005)."""
    random = np.random.default_rng(draws)
    held = 0
    for _ in range(20):
        for effects in drawn(random, 100, draws, 200, mean=0.01, **CASES[case]):
            _, low, high = crossed.two_way_interval(effects)
            held += low <= 0.01 <= high
    assert 0.93 <= held / 2000 <= 0.97


@pytest.mark.parametrize('draws', [6, 12])
def test_they_cover_a_difference_of_mistakes(draws):
    """Mistakes of two arms, 0 or 1: an example has its difficulty, a seed its quality, and 359
    examples are the test set. 1,000 studies."""
    random = np.random.default_rng(draws + 50)
    held, seeds_alone, truth = 0, 0, 0.0
    # P(one arm errs) - P(the other does), over difficulties: by a sample of 2 million
    difficulty = random.normal(-2.5, 1.5, size=(2_000_000, 1))
    gain = random.normal(0.3, 1.5, size=(2_000_000, 1))
    quality = random.normal(0.0, 0.05, size=(2_000_000, 2))
    truth = float(np.mean(_logistic(difficulty + quality[:, :1] + gain)))
    truth -= float(np.mean(_logistic(difficulty + quality[:, 1:])))
    for _ in range(1000):
        difficulty = random.normal(-2.5, 1.5, size=359)
        gain = random.normal(0.3, 1.5, size=359)
        quality = random.normal(0.0, 0.05, size=(2, draws, 1))
        one = random.uniform(size=(draws, 359)) < _logistic(difficulty + gain + quality[0])
        other = random.uniform(size=(draws, 359)) < _logistic(difficulty + quality[1])
        effects = one.astype(float) - other
        _, low, high = crossed.two_way_interval(effects)
        held += low <= truth <= high
        _, low, high = inference.mean_interval(effects.mean(axis=1))
        seeds_alone += low <= truth <= high
    assert 0.93 <= held / 1000 <= 0.975
    # what an interval over seeds leaves out
    assert seeds_alone / 1000 < 0.9


def _logistic(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.quick
def test_draws_that_diverged_are_left_out_and_few_have_no_interval():
    effects = np.random.default_rng(2).normal(size=(5, 9))
    lost = np.concatenate([effects, np.full((1, 9), np.nan)])
    assert crossed.two_way_interval(lost) == crossed.two_way_interval(effects)
    lost[5, 1:] = 0.5  # one example is enough
    assert crossed.two_way_interval(lost) == crossed.two_way_interval(effects)
    for few in (effects[:1], effects[:, :1], effects[:0], np.zeros((0, 0))):
        assert all(math.isnan(end) for end in crossed.two_way_interval(few)[1:])
        assert math.isnan(crossed.components(few).draw)
    assert crossed.two_way_interval(np.zeros((6, 9))) == (0, 0, 0)
    with pytest.raises(Refusal, match=r'\(0, 1\)'):
        crossed.two_way_interval(effects, 95)


@pytest.mark.quick
def test_a_margin_below_two_examples_is_refused():
    crossed.require_resolution(2 / 359, 359)
    with pytest.raises(Refusal, match=r'margin: found 0.005, which is 1.8 of 359 test examples'):
        crossed.require_resolution(0.005, 359)
