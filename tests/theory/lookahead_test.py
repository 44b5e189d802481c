"""Lookahead's closed forms against the cycle written out in NumPy, and the papers' Proposition 2 as
printed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbexp.theory.fixed_point import fixed_point, within_cycle
from lbexp.theory.lookahead import (
    lookahead,
    proposition_2,
    variance_over_cycle,
    variance_within_cycle,
)
from lbexp.theory.process import process

pytestmark = pytest.mark.usefixtures('quick_compilation')


@pytest.fixture(autouse=True, scope='module')
def x64():
    with jax.enable_x64(True):
        yield


# Values; what is refused, with which words, is told where they are called as they are.
compiled_proposition_2 = jax.jit(proposition_2)
compiled_variance_within_cycle = jax.jit(variance_within_cycle)
compiled_variance_over_cycle = jax.jit(variance_over_cycle)

steps = st.floats(0.001, 1.99)  # learning rate times curvature
cycles = st.integers(1, 40)
alphas = st.floats(0.01, 1.0)


def variance_by_summation(h, k, alpha, v=1.0):
    """Var of the slow weights at rest: the cycle's noise k terms at a time, then a geometric
    series."""
    r = 1 - h
    noise = alpha**2 * sum((r**j * h) ** 2 * v for j in range(k))
    return noise / (1 - (1 - alpha + alpha * r**k) ** 2)


@settings(deadline=None, max_examples=200)
@given(steps, cycles, alphas)
def test_proposition_2(h, k, alpha):
    found = compiled_proposition_2(h, 1.0, 1.0, k, alpha)
    np.testing.assert_allclose(found, variance_by_summation(h, k, alpha), rtol=1e-9)
    r, sgd = 1 - h, h / (2 - h)
    printed = alpha**2 * (1 - r ** (2 * k))
    printed = printed / (printed + 2 * alpha * (1 - alpha) * (1 - r**k)) * sgd
    np.testing.assert_allclose(found, printed, rtol=1e-9)


@settings(deadline=None, max_examples=100)
@given(steps, cycles, st.floats(0.01, 0.99))
def test_lookahead_has_less_variance_than_sgd(h, k, alpha):
    assert compiled_proposition_2(h, 1.0, 1.0, k, alpha) < h / (2 - h)


@settings(deadline=None, max_examples=200)
@given(st.floats(0.001, 0.999), cycles, alphas)
def test_the_factor_below_sgd_that_the_documentation_names(h, k, alpha):
    """With rate times curvature below 1: from alpha / (2 - alpha) for long cycles to alpha."""
    factor = float(compiled_proposition_2(h, 1.0, 1.0, k, alpha)) / (h / (2 - h))
    assert alpha / (2 - alpha) * (1 - 1e-9) <= factor <= alpha * (1 + 1e-9)
    if k > 1:
        return
    # one inner step: a learning rate of alpha h
    np.testing.assert_allclose(factor, alpha * (2 - h) / (2 - alpha * h), rtol=1e-9)


def test_around_heavy_ball_the_factor_is_another():
    """Rate 0.1, momentum 0.9, k 5, alpha 0.5: below alpha / (2 - alpha) = 1/3."""
    plain = fixed_point(process(0.1, 1.0, 0.9), 1.0).covariance[0, 0]
    around = fixed_point(process(0.1, 1.0, 0.9, k=5, slow_step_size=0.5), 1.0).covariance[0, 0]
    assert around / plain < 1 / 3


def test_values_of_proposition_2():
    """Computed apart, with gamma = 0.1 and a = sigma = 1."""
    for k, alpha, value in (
        (5, 0.5, 0.0233144),
        (5, 0.8, 0.0400432),
        (10, 0.2, 0.0075928),
        (7, 1.0, 0.0526316),
    ):
        assert proposition_2(0.1, 1.0, 1.0, k, alpha) == pytest.approx(value, abs=5e-8)


def test_scales_of_proposition_2():
    """Only rate * a matters for the ratio; the variance is proportional to the noise."""
    one = proposition_2(0.1, 2.0, 1.0, 5, 0.5)
    np.testing.assert_allclose(proposition_2(0.2, 1.0, 3.0, 5, 0.5), 3 * one, rtol=1e-14)


@settings(deadline=None, max_examples=20)
@given(steps, st.integers(1, 12), alphas)
def test_saw_tooth(h, k, alpha):
    """One cycle by hand from the slow variance, update by update."""
    v, seen = variance_by_summation(h, k, alpha), []
    for j in range(k + 1):
        np.testing.assert_allclose(
            compiled_variance_within_cycle(h, 1.0, 1.0, k, alpha, j), v, rtol=1e-8, atol=1e-14
        )
        seen.append(v)
        v = (1 - h) ** 2 * v + h**2
    average = compiled_variance_over_cycle(h, 1.0, 1.0, k, alpha)
    np.testing.assert_allclose(average, np.mean(seen[:k]), rtol=1e-8)


def test_saw_tooth_agrees_with_the_mechanism():
    p = process(0.3, 0.7, k=6, slow_step_size=0.4)
    rest = fixed_point(p, 1.7)
    saw = within_cycle(p, 1.7, rest.covariance, 6)[:6, 0, 0]
    expected = [variance_within_cycle(0.3, 0.7, 1.7, 6, 0.4, j) for j in range(6)]
    np.testing.assert_allclose(saw, expected, rtol=1e-11)
    np.testing.assert_allclose(
        rest.average[0, 0], variance_over_cycle(0.3, 0.7, 1.7, 6, 0.4), rtol=1e-11
    )
    np.testing.assert_allclose(
        rest.covariance[2, 2], proposition_2(0.3, 0.7, 1.7, 6, 0.4), rtol=1e-11
    )


@pytest.mark.parametrize('nesterov', [False, True])
@pytest.mark.parametrize('buffer_policy', ['maintain', 'reset', 'interpolate'])
def test_cycle_matrix(buffer_policy, nesterov):
    rate, a, beta, k, alpha = 0.3, 0.6, 0.8, 7, 0.35

    def cycle(x, m):
        slow, old = x, m
        for _ in range(k):
            m = beta * m + a * x
            x = x - rate * (a * x * 0 + m) if not nesterov else x - rate * (a * x + beta * m)
        x = slow + alpha * (x - slow)
        m = {'maintain': m, 'reset': 0.0, 'interpolate': alpha * m + (1 - alpha) * old}[
            buffer_policy
        ]
        return x, m

    expected = np.array([cycle(1.0, 0.0), cycle(0.0, 1.0)]).T
    found = lookahead(rate, a, beta, nesterov, k, alpha, buffer_policy)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    'buffer_policy, value',
    [('maintain', 0.1295080), ('reset', 0.0751786), ('interpolate', 0.1011805)],
)
def test_lookahead_around_momentum(buffer_policy, value):
    """Discrete Lyapunov equation of the 2 x 2 cycle, solved with NumPy; values computed apart."""
    rate, beta, k, alpha = 0.1, 0.9, 5, 0.5
    m, w = np.array([[1 - rate, -rate * beta], [1, beta]]), np.array([rate, -1.0])
    powers = [np.linalg.matrix_power(m, j) for j in range(k + 1)]
    p, r = {'maintain': (1, 0), 'reset': (0, 0), 'interpolate': (alpha, 1 - alpha)}[buffer_policy]
    p, r = np.diag([alpha, p]), np.diag([1 - alpha, r])
    c = p @ powers[k] + r
    q = p @ sum(x @ np.outer(w, w) @ x.T for x in powers[:k]) @ p.T
    exact = np.linalg.solve(np.eye(4) - np.kron(c, c), q.reshape(4))[0]
    found = fixed_point(
        process(rate, 1.0, beta, k=k, slow_step_size=alpha, buffer_policy=buffer_policy), 1.0
    ).covariance[0, 0]
    np.testing.assert_allclose(found, exact, rtol=1e-11)
    assert found == pytest.approx(value, abs=6e-8)


@pytest.mark.parametrize(
    'arguments, words',
    [
        (
            (2.0, 1.0, 1.0, 5, 0.5),
            (
                r'learning_rate \* curvature: found 2.0; allowed: 0 < '
                r'learning_rate'
            ),
        ),
        ((0.1, 1.0, 1.0, 5, 0.0), 'slow_step_size: found 0.0'),
        ((0.1, 1.0, 1.0, 0, 0.5), 'k: found 0'),
        ((0.1, 1.0, -1.0, 5, 0.5), 'noise: found -1.0'),
    ],
)
def test_out_of_range(arguments, words):
    with pytest.raises(ValueError, match=words):
        proposition_2(*arguments)


def test_traced_and_unstable_is_infinite():
    rates = jnp.array([0.1, 2.0, 2.5, 3.0])
    for form in (
        proposition_2,
        variance_over_cycle,
        lambda *given: variance_within_cycle(*given, 0),
    ):
        found = jax.jit(jax.vmap(lambda rate, form=form: form(rate, 1.0, 1.0, 5, 0.5)))(rates)
        assert 0 < found[0] < 1 and (found[1:] == jnp.inf).all()
