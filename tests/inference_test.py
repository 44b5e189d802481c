"""Intervals and tests against independent values, exact enumeration, and their own coverage."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from lbexp import inference

pytestmark = pytest.mark.quick


def test_students_interval_of_a_textbook_sample():
    """Student's own data (additional hours of sleep): t(9, 0.975) = 2.262157."""
    hours = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    value, low, high = inference.mean_interval(hours)
    margin = 2.2621571628 * np.std(hours, ddof=1) / math.sqrt(10)
    assert value == pytest.approx(2.33)
    assert (low, high) == pytest.approx((2.33 - margin, 2.33 + margin), rel=1e-9)


@pytest.mark.parametrize('count', [2, 3, 5, 8, 15])
def test_students_interval_covers_as_it_says(count):
    """4,000 normal samples; four standard deviations of the share are 0.014."""
    samples = np.random.default_rng(count).normal(3.0, 2.0, size=(4000, count))
    ends = np.array([inference.mean_interval(sample)[1:] for sample in samples])
    covered = np.mean((ends[:, 0] <= 3.0) & (ends[:, 1] >= 3.0))
    assert abs(covered - 0.95) < 0.014


@pytest.mark.parametrize('count', range(1, 22))
def test_the_interval_of_the_median_is_the_narrowest_that_suffices(count):
    """Its probability by exact fractions, from the definition."""
    values = list(range(1, count + 1))
    _, low, high = inference.median_interval(values)

    def covers(k):
        below = sum(math.comb(count, i) for i in range(k))
        return 1 - 2 * Fraction(below, 2**count)

    enough = [k for k in range(1, count // 2 + 1) if covers(k) >= Fraction(95, 100)]
    if not enough:
        assert math.isnan(low) and math.isnan(high) and count < inference.LEAST_PAIRS
    else:
        k = max(enough)
        assert (low, high) == (k, count + 1 - k)


@pytest.mark.parametrize('count', range(1, 10))
def test_the_median_is_that_of_numpy(count):
    values = np.random.default_rng(count).normal(size=count)
    padded = [None, math.nan, *values, math.inf]
    assert inference.median_interval(padded)[0] == np.median(values)
    assert inference.median_interval(np.append(values, math.nan))[0] == np.median(values)


def test_fewer_than_six_pairs_decide_nothing():
    assert inference.sign_flip([1.0] * 5) == 2 / 2**5 > 0.05
    assert inference.sign_flip([1.0] * 6) == 2 / 2**6 < 0.05


def test_sign_flips_are_all_counted():
    differences = [0.3, -0.1, 0.4, 0.2, 0.25]
    total = abs(sum(differences))
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=5)
    ]
    expected = sum(value >= total - 1e-12 for value in sums) / 32
    assert inference.sign_flip(differences) == expected


def test_sign_flips_drawn_agree_with_those_counted():
    differences = np.random.default_rng(1).normal(0.35, 1.0, size=14)
    exact = inference.sign_flip(differences)
    drawn = inference.sign_flip(np.concatenate([differences, [0.0]]))  # a zero changes no sum
    assert 0.01 < exact < 0.9
    assert abs(drawn - exact) < 4 * math.sqrt(exact * (1 - exact) / 20_000)


def test_nothing_differs():
    assert inference.sign_flip([0.0] * 8) == 1.0
    assert math.isnan(inference.sign_flip([None, math.nan]))


def test_holm_adjusts_as_his_example():
    adjusted = inference.holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert inference.holm([0.9, math.nan, 0.8])[0] == 1.0
    assert math.isnan(inference.holm([0.9, math.nan, 0.8])[1])


def test_holm_rejects_no_true_hypothesis_more_often_than_it_says():
    random = np.random.default_rng(4)
    wrong = sum(min(inference.holm(random.uniform(size=5))) <= 0.05 for _ in range(4000))
    assert abs(wrong / 4000 - 0.05) < 0.015


def test_the_interval_of_a_ratio_covers_as_it_says():
    """Bivariate normal pairs with correlation 0.5, true ratio 0.6."""
    covariance = [[0.04, 0.03], [0.03, 0.09]]
    draws = np.random.default_rng(5).multivariate_normal([0.6, 1.0], covariance, size=(4000, 8))
    covered = 0
    for top, bottom in draws.swapaxes(1, 2):
        _, low, high = inference.ratio_interval(top, bottom)
        covered += math.isnan(low) or low <= 0.6 <= high
    assert abs(covered / 4000 - 0.95) < 0.014


def test_a_ratio_over_nothing_has_no_interval():
    value, low, high = inference.ratio_interval([1.0, 1.2, 0.9], [0.1, -0.2, 0.15])
    assert math.isfinite(value) and math.isnan(low) and math.isnan(high)


def test_a_constant_denominator_gives_students_interval():
    values = [0.2, 0.5, 0.3, 0.9]
    ratio = inference.ratio_interval(values, [2.0] * 4)
    assert ratio == pytest.approx([end / 2 for end in inference.mean_interval(values)])


def test_values_that_are_no_numbers_are_left_out():
    clean = inference.mean_interval([1.0, 2.0, 4.0])
    assert inference.mean_interval([4.0, None, math.nan, 1.0, math.inf, 2.0]) == clean


@pytest.mark.parametrize('confidence', [0, 1, 95, math.nan])
def test_confidence_is_a_probability(confidence):
    for function in (inference.mean_interval, inference.median_interval):
        with pytest.raises(ValueError, match=r'\(0, 1\)'):
            function([1, 2, 3], confidence)
