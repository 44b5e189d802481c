"""The hyperbola of steps and examples: exact recovery, spread, censored trials, bounds, bad
input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from lbexp.theory.critical_batch_size import critical_batch_size, regions

SIZES = 2.0 ** np.arange(3, 13)


@settings(deadline=None)
@given(s_min=st.floats(1, 1e4), critical=st.floats(10, 3000))
def test_points_on_the_hyperbola_give_it_back(s_min, critical):
    e_min = s_min * critical
    steps = s_min + e_min / SIZES
    assert np.allclose((steps / s_min - 1) * (SIZES * steps / e_min - 1), 1)  # the paper's form
    fit = critical_batch_size(SIZES, steps, np.ones(10, bool))
    assert fit == pytest.approx((s_min, e_min, critical), rel=1e-6)


def test_every_digit_of_a_hyperbola_over_three_decades():
    sizes = 2.0 ** np.arange(12)
    steps = 100 * (1 + 37 / sizes)
    assert critical_batch_size(sizes, steps) == pytest.approx((100, 3700, 37), rel=1e-9)
    noisy = steps * (1 + 0.01 * np.random.default_rng(0).standard_normal(12))
    assert critical_batch_size(sizes, noisy).critical == pytest.approx(37, rel=0.05)


def test_it_is_the_non_negative_least_squares_of_scipy():
    generator = np.random.default_rng(0)
    for critical in (0.1, 5.0, 200.0, 1e6):  # the first and the last lie on an edge now and then
        steps = (10 + 10 * critical / SIZES) * np.exp(0.3 * generator.standard_normal(10))
        fit = critical_batch_size(SIZES, steps, np.ones(10, bool))
        expected, _ = optimize.nnls(np.stack([1 / steps, 1 / (SIZES * steps)], axis=1), np.ones(10))
        assert (fit.s_min, fit.e_min) == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize('sigma', [0.05, 0.3])
def test_bias_and_spread_are_what_the_docstring_says(sigma):
    """Log-normal steps: both short by exp(-3 sigma^2 / 2), their ratio right, the covariance that
    of least squares."""
    generator, s_min, e_min = np.random.default_rng(1), 20.0, 2000.0
    sizes = np.repeat(SIZES, 16)
    truth = s_min + e_min / sizes
    noise = np.exp(sigma * generator.standard_normal((1000, len(sizes))))
    fits = [critical_batch_size(sizes, steps, np.ones(len(sizes), bool)) for steps in truth * noise]
    found = np.log(
        [(fit.s_min / s_min, fit.e_min / e_min, fit.critical * s_min / e_min) for fit in fits]
    )
    # for relative errors of s_min and e_min
    rows = np.stack([s_min / truth, e_min / (sizes * truth)], axis=1)
    covariance = sigma**2 * np.linalg.inv(rows.T @ rows)
    contrast = np.array([[1, 0], [0, 1], [-1, 1]])
    spread = np.sqrt(np.diag(contrast @ covariance @ contrast.T))
    # Eight standard errors of the simulated mean; at the larger noise also terms of second order,
    # sigma^2 / 16 trials.
    bias = -1.5 * sigma**2 * np.array([1, 1, 0])
    assert np.all(abs(found.mean(axis=0) - bias) < 8 * spread / np.sqrt(1000) + sigma**2 / 16)
    assert found.std(axis=0) == pytest.approx(spread, rel=0.08 if sigma < 0.1 else 0.3)
    if sigma > 0.1:
        assert np.all(found.mean(axis=0)[:2] < bias[:2] / 2)  # the bias is seen, not allowed for


def test_censored_trials_are_lower_bounds():
    """A cap censors the slow half at the smallest batch: to drop them would say that small batches
    are quick."""
    generator = np.random.default_rng(2)
    sizes = np.repeat(SIZES, 40)
    truth = (20 + 20 * 100 / sizes) * np.exp(0.2 * generator.standard_normal(len(sizes)))
    cap = 20 + 20 * 100 / 8  # the median at the smallest batch size
    reached = truth <= cap
    assert 15 <= np.sum(~reached) <= 30
    steps = np.minimum(truth, cap)
    whole = critical_batch_size(sizes, truth, np.ones(len(sizes), bool)).e_min
    kept = critical_batch_size(sizes, steps, reached).e_min
    dropped = critical_batch_size(sizes[reached], steps[reached], reached[reached]).e_min
    assert dropped < kept < 1.02 * whole
    # A bound that the fit respects says nothing more: far below the curve, it changes nothing.
    more = critical_batch_size([*sizes, 8.0], [*steps, 1.0], [*reached, False])
    assert more.e_min == pytest.approx(kept)


def test_regions():
    assert regions([1, 24, 26, 100, 399, 401], 100.0) == ['perfect scaling'] * 2 + [
        'diminishing returns'
    ] * 3 + ['stagnation']
    assert regions([1, 4096], np.inf) == ['perfect scaling'] * 2

    # What the bounds mean: the share of the steps that a doubled batch saves.
    def saved(b):
        return 1 - (1 + 100 / (2 * b)) / (1 + 100 / b)

    assert saved(25) == pytest.approx(0.4) and saved(400) == pytest.approx(0.1)


@pytest.mark.parametrize(
    'arguments, told',
    [
        (([8, 16], [10, 5], [True, False]), 'reached at 1 batch sizes'),
        (([8, 16], [10], [True, True]), 'lengths 2, 1, 2'),
        (([8, 16], [10, 0], [True, True]), 'not > 0'),
        (([8, 16], [10, np.inf], [True, True]), 'not finite'),
        (([8, np.inf], [10, 5], [True, True]), 'not finite'),
        (([8, np.nan], [10, 5], [True, True]), 'not > 0'),
        (([0, 16], [10, 5], [True, True]), 'not > 0'),
    ],
)
def test_what_cannot_be_fitted(arguments, told):
    with pytest.raises(ValueError, match=told):
        critical_batch_size(*arguments)
