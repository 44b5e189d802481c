"""Fieller's interval: its equation, and how often it has the truth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.curvature.fieller import fieller


def inside(ratio, s, g, variances, covariance, t):
    return (s - ratio * g) ** 2 <= t**2 * (
        variances[0] - 2 * ratio * covariance + ratio**2 * variances[1]
    )


@pytest.mark.parametrize(
    ('s', 'g', 'variances', 'covariance', 'resolved'),
    [
        (10.0, 2.0, (1.0, 0.04), 0.05, True),
        (-10.0, 2.0, (1.0, 0.04), 0.05, True),
        (10.0, 0.1, (1.0, 0.04), 0.05, False),
        (10.0, -0.1, (1.0, 0.04), 0.05, False),
        (0.1, 0.1, (1.0, 0.04), 0.05, False),
    ],
)
def test_the_ends_are_those_of_the_test(s, g, variances, covariance, resolved):
    ratio = fieller(s, g, variances, covariance, 2.0)
    assert bool(ratio.resolved) == resolved
    for end, sign in ((ratio.low, 1), (ratio.high, -1)):
        if np.isfinite(end):
            step = 1e-3 * abs(end)
            assert inside(end + sign * step, s, g, variances, covariance, 2.0)
            assert not inside(end - sign * step, s, g, variances, covariance, 2.0)
    if not resolved:
        assert ratio.high == jnp.inf
        assert inside(1e9, s, g, variances, covariance, 2.0)
    if s < 1 and not resolved:
        assert ratio.low == -jnp.inf


@pytest.mark.parametrize('denominator', [1.0, 0.1, 0.01])
def test_it_has_the_truth_as_often_as_it_says(denominator):
    """Also where the denominator is not told from 0, and the interval has no end."""
    numerator, deviation = 3.0, 0.2
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(4000, 2)) * deviation + np.array([numerator, denominator])
    variance = deviation**2
    ratio = jax.vmap(lambda x: fieller(x[0], x[1], (variance, variance), 0.0, 1.96))(drawn)
    truth = numerator / denominator
    held = (ratio.low <= truth) & (truth <= ratio.high)
    # One side of two is told: of a denominator at 0 a tail of half the probability is lost
    assert 0.92 < held.mean() < 0.985
