"""Rates against eigenvalues from NumPy, and against runs of the algorithm."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lbexp.theory.convergence import convergence, damping, rate_on_spectrum, tuned_rate
from lbexp.theory.lookahead import lookahead

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True, scope='module')
def x64():
    with jax.enable_x64(True):
        yield


def cycle(h, beta, nesterov, k, alpha, buffer_policy):
    """One cycle's matrix on (weights, buffer), curvature 1, from the algorithm run on the two basis
    vectors."""
    x, m = np.eye(2)
    slow, old = x, m
    for _ in range(k):
        m = beta * m + x
        x = x - h * (slow * 0 + (beta * m + x if nesterov else m))
    x = slow + alpha * (x - slow)
    return np.array(
        [
            x,
            {'maintain': m, 'reset': 0 * m, 'interpolate': alpha * m + (1 - alpha) * old}[
                buffer_policy
            ],
        ]
    )


@settings(deadline=None, max_examples=60)
@given(
    st.floats(1e-4, 3.0),
    st.floats(0.0, 0.99),
    st.booleans(),
    st.integers(1, 25),
    st.floats(0.05, 1.0),
    st.sampled_from(['maintain', 'reset', 'interpolate']),
)
@example(1.1875, 0.0, False, 14, 1.0, 'maintain')  # a matrix of 1e-10
def test_rate_is_that_of_the_largest_eigenvalue(h, beta, nesterov, k, alpha, buffer_policy):
    radius = abs(np.linalg.eigvals(cycle(h, beta, nesterov, k, alpha, buffer_policy))).max()
    found = convergence(h, 1.0, beta, nesterov, k, alpha, buffer_policy)
    # Eigenvalues of a nearly defective matrix are good to half the digits.
    np.testing.assert_allclose((1 - found) ** k, radius, rtol=1e-5, atol=1e-6)
    explicit = lookahead(h, 1.0, beta, nesterov, k, alpha, buffer_policy)
    expected = cycle(h, beta, nesterov, k, alpha, buffer_policy)
    # slow + alpha (x - slow), slow 1, rounds what is far below 1
    rounding = 4 * np.finfo(float).eps
    atol = 1e-7 * abs(expected).max() + rounding
    np.testing.assert_allclose(explicit, expected, rtol=1e-7, atol=atol)


def test_rate_is_what_a_run_shows():
    matrix = cycle(0.3, 0.8, False, 5, 0.5, 'reset')
    z, logs = np.array([1.0, 0.0]), []
    for _ in range(400):
        z = matrix @ z
        logs.append(np.log(np.linalg.norm(z)))
        z /= np.linalg.norm(z)
    # One cycle's factor is the mean slope of the logarithm of the length, which is set back to 1
    # each time.
    found = convergence(0.3, 1.0, 0.8, k=5, slow_step_size=0.5, buffer_policy='reset')
    np.testing.assert_allclose(found, -np.expm1(np.mean(logs[200:]) / 5), rtol=1e-3)


def test_damping():
    """Complex eigenvalues of the step where it is negative; sqrt(beta) is then the radius."""
    for h in np.linspace(0.01, 3.7, 40):
        eigenvalues = np.linalg.eigvals(cycle(h, 0.9, False, 1, 1.0, 'maintain'))
        assert (damping(h, 1.0, 0.9) < 0) == np.iscomplexobj(eigenvalues)
        if np.iscomplexobj(eigenvalues):
            np.testing.assert_allclose(convergence(h, 1.0, 0.9), 1 - np.sqrt(0.9), rtol=1e-9)
    np.testing.assert_allclose(damping((1 - np.sqrt(0.9)) ** 2, 1.0, 0.9), 0, atol=1e-15)


def test_sgd_on_a_spectrum():
    """(kappa - 1) / (kappa + 1), the classic rate of gradient descent at 2 / (1 + 1 / kappa)."""
    tuned = jax.jit(tuned_rate)
    for kappa in (3.0, 100.0, 1e6):
        found = rate_on_spectrum(kappa, 2 / (1 + 1 / kappa))
        np.testing.assert_allclose(found, 2 / (kappa + 1), rtol=1e-6)
        rate, best = tuned(kappa)
        np.testing.assert_allclose(rate, 2 / (kappa + 1), rtol=1e-2)
        np.testing.assert_allclose(best, 2 / (1 + 1 / kappa), rtol=1e-2)


def test_heavy_ball_on_a_spectrum():
    """At Polyak's momentum and learning rate all modes are critically or under-damped: rate 1 -
    sqrt(beta)."""
    kappa = 100.0
    beta = ((np.sqrt(kappa) - 1) / (np.sqrt(kappa) + 1)) ** 2
    rate = (2 / (1 + 1 / np.sqrt(kappa))) ** 2
    np.testing.assert_allclose(
        rate_on_spectrum(kappa, rate, momentum=beta), 1 - np.sqrt(beta), rtol=1e-5
    )
    np.testing.assert_allclose(tuned_rate(kappa, beta)[0], 1 - np.sqrt(beta), rtol=0.02)


# momentum, kappa: rates of momentum, Lookahead (k = 20, alpha = 0.5) with the buffer kept, reset
TUNED = [
    (0.9, 10.0, 5.13e-2, 3.25e-2, 2.26e-2),
    (0.9, 1e4, 3.94e-3, 1.81e-3, 1.01e-3),
    (0.99, 10.0, 5.01e-3, 1.03e-2, 2.94e-2),
    (0.99, 100.0, 5.01e-3, 5.60e-3, 4.09e-3),
    (0.99, 1e6, 4.15e-4, 8.54e-5, 3.83e-6),
]


@pytest.mark.parametrize('beta, kappa, momentum, kept, reset', TUNED)
def test_tuned_rates(beta, kappa, momentum, kept, reset):
    """Lookahead gains where momentum is far under-damped, and loses where it is over-damped.

    The rate found is checked with NumPy's eigenvalues on a spectrum of its own, where no other
    learning rate of a grid may do better.
    """
    around = dict(k=20, slow_step_size=0.5)
    for case, expected in (
        ({}, momentum),
        (around, kept),
        ({**around, 'buffer_policy': 'reset'}, reset),
    ):
        rate, best = compiled_tuned_rate(**case)(kappa, beta)
        np.testing.assert_allclose(rate, expected, rtol=0.02)
        numpy_rate = rate_by_eigenvalues(kappa, float(best), beta, **case)
        np.testing.assert_allclose(rate, numpy_rate, rtol=0.05)
        others = [rate_by_eigenvalues(kappa, g, beta, **case) for g in np.geomspace(0.01, 3.9, 25)]
        assert rate > 0.97 * max(others)


@functools.cache
def compiled_tuned_rate(**case):
    """One program for all condition numbers and momenta."""
    return jax.jit(lambda kappa, beta: tuned_rate(kappa, beta, **case))


def rate_by_eigenvalues(
    kappa, rate, beta, k=1, slow_step_size=1.0, buffer_policy='maintain', points=400
):
    a = np.concatenate(
        [np.geomspace(1 / kappa, 1, points), np.linspace(kappa**-0.5, 1, 3 * points) ** 2]
    )
    step = np.stack(
        [np.stack([1 - rate * a, -rate * beta + 0 * a], -1), np.stack([a, beta + 0 * a], -1)], -2
    )
    p, r = (
        np.array([slow_step_size, float(buffer_policy == 'maintain')]),
        np.diag([1 - slow_step_size, 0]),
    )
    radius = abs(np.linalg.eigvals(p[:, None] * np.linalg.matrix_power(step, k) + r)).max()
    return -np.expm1(np.log(radius) / k)


def test_bad_condition_number():
    with pytest.raises(ValueError, match=r'condition: found 0.5; allowed: a condition number >= 1'):
        rate_on_spectrum(0.5, 0.1)


def test_divergence_is_a_negative_rate():
    assert convergence(2.5, 1.0) < 0
    found = convergence(jnp.array([0.1, 3.9]), 1.0, 0.9)
    assert found[0] > 0 > found[1]
