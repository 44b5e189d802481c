"""The interval over seeds: known answers, the cases that the docstring lists, and coverage."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbexp.analysis import (
    OUTCOMES,
    Analysis,
    Claim,
    Figure,
    Series,
    Table,
    above,
    below,
    claim_interval,
    interval,
    judged,
    within,
)

pytestmark = pytest.mark.quick

YES, NO, OPEN, _ = OUTCOMES
FLOATS = st.floats(-1e6, 1e6, allow_subnormal=False)


def same(one, other):
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    'values, expected',
    [
        ([], (math.nan, math.nan, math.nan)),
        ([math.nan, None, math.inf], (math.nan, math.nan, math.nan)),
        ([3], (3, math.nan, math.nan)),
        ([3, math.nan], (3, math.nan, math.nan)),
        ([4, 1], (2.5, 1, 4)),
        ([None, 4, -math.inf, 1], (2.5, 1, 4)),
        ([7, 7, 7, 7], (7, 7, 7)),
        ([7, 7], (7, 7, 7)),
    ],
)
def test_small_constant_and_diverged_values(values, expected):
    assert same(interval(values), expected)


def test_from_six_values_on_it_is_the_exact_interval_and_below_the_range():
    assert interval([5, 1, 2, 4, 3]) == (3, 1, 5)
    assert interval([5, 1, 2, 4, 3, 6]) == (3.5, 1, 6)  # 1 - 2 / 2^6 = 0.969
    # 1 - 2 (1 + 10) / 2^10 = 0.979; without two at either end 0.891
    assert interval(range(1, 11)) == (5.5, 2, 9)


def test_the_interval_does_not_depend_on_order_and_repeats():
    values = np.random.default_rng(0).normal(size=12)
    assert interval(values) == interval(values[::-1]) == interval(values)


@settings(max_examples=30, deadline=None)
@given(st.lists(FLOATS, min_size=3, max_size=12))
def test_the_median_lies_in_the_interval_and_that_within_the_range(values):
    median, low, high = interval(values)
    assert median == np.median(values)
    assert min(values) <= low <= median <= high <= max(values)


@pytest.mark.parametrize(
    'values', [[1.8, 0.2, 0.9], [0.0, 0.3, 1.8, 0.7], [1.7, 0.2, 1.1, 0.9, 0.7, 1.2, 0.4, 0.9, 0.3]]
)
@pytest.mark.parametrize('confidence', [0.5, 0.9, 0.95])
def test_rounding_does_not_push_the_ends_over_the_range(values, confidence):
    median, low, high = interval(values, confidence)
    assert min(values) <= low <= median <= high <= max(values)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=3, max_size=12), st.integers(-100, 100))
def test_shifting_the_values_shifts_the_interval(values, shift):
    moved = interval([value + shift for value in values])
    assert np.allclose(moved, np.add(interval(values), shift), atol=1e-9)


def test_more_confidence_is_a_wider_interval():
    values = np.random.default_rng(1).normal(size=40)
    _, low, high = interval(values, confidence=0.5)
    _, lower, higher = interval(values, confidence=0.99)
    assert lower < low < high < higher


@pytest.mark.parametrize('count, exact', [(6, 0.96875), (10, 0.978516), (25, 0.956711)])
def test_coverage_of_the_true_median(count, exact):
    """4,000 samples of a skewed distribution; four standard deviations of their share."""
    samples = np.random.default_rng(2).exponential(size=(4000, count))
    ends = np.array([interval(sample)[1:] for sample in samples])
    held = np.mean((ends[:, 0] <= math.log(2)) & (math.log(2) <= ends[:, 1]))
    assert abs(held - exact) < 4 * math.sqrt(exact * (1 - exact) / 4000)


@pytest.mark.parametrize('confidence', [0, 1, 95, -0.1, math.nan])
def test_confidence_is_a_probability(confidence):
    with pytest.raises(ValueError, match=r'\(0, 1\)'):
        interval([1, 2, 3], confidence)


def test_defaults_of_the_plain_data():
    series = Series('loss', [1], [2])
    assert (series.low, series.high, series.style, series.group) == (None, None, 'line', None)
    figure = Figure('loss', 'Loss', 'step', 'loss', [series])
    assert (figure.x_scale, figure.y_scale, figure.caption) == ('linear', 'linear', '')
    assert Analysis('t', '', [Table('t', ['a'], [[1]])], [figure]).passed is None


@pytest.mark.processes
def test_importing_the_plain_data_brings_no_heavy_library():
    import subprocess

    heavy = '{"jax", "jaxtyping", "scipy", "matplotlib", "plotly"}'
    code = f'import sys, lbexp.analysis; print(sorted({heavy} & set(sys.modules)))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_a_claim_is_judged_by_six_values_or_more():
    for effects in ([1.0] * 5, [1.0] * 3 + [None]):
        assert all(math.isnan(end) for end in claim_interval(effects))
    assert claim_interval([1.0, 1.3, 1.1, 1.2, 1.5, 1.4]) == (1.0, 1.5)


def test_an_effect_that_diverged_may_be_anything():
    """At ten effects the interval leaves out one at either end: one that is lost is borne there,
    and two are not."""
    low, high = claim_interval([*np.arange(1.0, 10.0), math.nan])
    assert (low, high) == (1, 9)
    low, high = claim_interval([*np.arange(1.0, 9.0), math.nan, None])
    assert (low, high) == (-math.inf, math.inf)
    claim_interval([None] * 8)  # does not overflow: warnings are errors here
    lost = judged('c', 'm', above, [*np.arange(1.0, 9.0), math.nan, None])
    assert lost.outcome == OPEN and '2 of 10 diverged' in lost.measured
    assert math.isnan(lost.p_value)


def test_a_claim_bears_its_p_value_and_says_what_it_lacks():
    claim = judged('c', 'm', above, [0.1, 0.2, 0.3, 0.1, 0.2, 0.3])
    effects = (0.1, 0.2, 0.3, 0.1, 0.2, 0.3)
    assert claim == Claim('c', 'm', YES, 2 / 2**6, effects=effects, rule='above')
    few = judged('c', 'm', above, [0.1, 0.2, 0.3])
    assert few.outcome == OPEN and few.measured == 'm; 3 pairs decide nothing, 6 may'
    # equivalence has two boundaries: the nearer one decides
    near = judged('c', 'm', within, [0.01, 0.02, 0.01, 0.03, 0.02, 0.09], 0.1)
    assert near.outcome == YES and near.p_value == 2 / 2**6
    assert judged('c', 'm', within, [0.2] * 6, 0.1).outcome == NO


@pytest.mark.parametrize(
    'test, ends, margin, outcome',
    [
        (above, (1.0, 1.2), 0.0, YES),
        (above, (1.0, 1.2), 1.1, OPEN),
        (above, (1.0, 1.2), 2.0, NO),
        (below, (1.0, 1.2), 2.0, YES),
        (below, (1.0, 1.2), 1.2, YES),  # at most: none above is enough
        (below, (1.0, 1.2), 1.1, OPEN),
        (below, (1.0, 1.2), 0.0, NO),
        (within, (-0.1, 0.2), 0.3, YES),
        (within, (-0.1, 0.4), 0.3, OPEN),
        (within, (0.4, 0.5), 0.3, NO),
        (within, (-0.5, -0.4), 0.3, NO),
    ],
)
def test_what_an_interval_says_of_a_claim(test, ends, margin, outcome):
    assert test(ends, margin) == outcome
    # one seed has no interval
    assert test((math.nan, math.nan), margin) == OPEN
