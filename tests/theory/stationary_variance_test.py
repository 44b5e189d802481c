"""Closed forms against the algorithms themselves, and what has no stationary variance."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.algorithm import Algorithm

from lbexp.theory.fixed_point import fixed_point, spectral_radius
from lbexp.theory.limits import learning_rate_limit
from lbexp.theory.process import process
from lbexp.theory.stationary_variance import (
    ema_variance,
    heavy_ball_covariance,
    stationary_variance,
    tail_variance,
)

pytestmark = pytest.mark.usefixtures('quick_compilation')


@pytest.fixture(autouse=True, scope='module')
def x64():
    with jax.enable_x64(True):
        yield


compiled_stationary_variance = jax.jit(stationary_variance, static_argnames='nesterov')
compiled_ema_variance = jax.jit(ema_variance)
momenta = st.floats(0.0, 0.99)
fractions = st.floats(0.001, 0.99)  # of the stability limit


@settings(deadline=None, max_examples=60)
@given(fractions, momenta, st.booleans(), st.floats(0.01, 100.0))
def test_closed_forms_for_momentum(fraction, beta, nesterov, a):
    rate = fraction * float(learning_rate_limit(a, beta, nesterov))
    exact = Algorithm(rate, a, beta, nesterov).at_rest(0.6)[-1, 0]
    found = compiled_stationary_variance(rate, a, 0.6, beta, nesterov)
    np.testing.assert_allclose(found, exact, rtol=1e-7)


def test_closed_forms_to_ten_digits():
    for beta, nesterov in itertools.product((0.0, 0.5, 0.9), (False, True)):
        exact = Algorithm(0.1, 1.0, beta, nesterov).at_rest(1.0)[-1, 0]
        np.testing.assert_allclose(
            stationary_variance(0.1, 1.0, 1.0, beta, nesterov), exact, rtol=1e-11
        )
    # gamma a sigma^2 / (2 - gamma a), by hand.
    assert stationary_variance(0.1, 1.0, 1.0) == pytest.approx(1 / 19, rel=1e-14)


def test_heavy_ball_covariance():
    p = process(0.2, 0.7, 0.8)
    xx, xm, mm = heavy_ball_covariance(0.2, 0.7, 1.3, 0.8)
    np.testing.assert_allclose(fixed_point(p, 1.3).covariance, [[xx, xm], [xm, mm]], rtol=1e-11)


@settings(deadline=None, max_examples=40)
@given(fractions, st.floats(0.0, 0.999))
def test_ema_closed_form(fraction, decay):
    exact = Algorithm(2 * fraction, 1.0, decay=decay).at_rest(1.0)[-1, -1]
    found = compiled_ema_variance(2 * fraction, 1.0, 1.0, decay)
    np.testing.assert_allclose(found, exact, rtol=1e-8)


@settings(deadline=None, max_examples=60)
@given(momenta, st.booleans(), st.floats(0.01, 100.0))
def test_learning_rate_limit_is_where_the_radius_crosses_one(beta, nesterov, a):
    limit = float(learning_rate_limit(a, beta, nesterov))

    def radius(rate):
        return abs(np.linalg.eigvals(Algorithm(rate, a, beta, nesterov).maps(1)[0][:2, :2])).max()

    assert radius(limit * (1 - 1e-6)) < 1 < radius(limit * (1 + 1e-6))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-2, 2), min_size=9, max_size=9))
def test_spectral_radius(entries):
    matrix = np.array(entries).reshape(3, 3)
    expected = abs(np.linalg.eigvals(matrix)).max()
    np.testing.assert_allclose(spectral_radius(jnp.asarray(matrix)), expected, rtol=1e-6, atol=1e-5)


def test_spectral_radius_of_defective_and_nilpotent_matrices():
    np.testing.assert_allclose(
        spectral_radius(jnp.array([[0.9, 1.0], [0.0, 0.9]])), 0.9, rtol=1e-11
    )
    assert spectral_radius(jnp.array([[0.0, 1.0], [0.0, 0.0]])) == 0


@pytest.mark.parametrize(
    'case, words',
    [
        (dict(learning_rate=2.0), 'spectral radius of a cycle: found 1.0'),
        (dict(learning_rate=3.9, momentum=0.9), 'spectral radius'),
        (dict(learning_rate=0.0), 'learning_rate: found 0.0'),
        (dict(learning_rate=0.1, curvature=-1.0), 'curvature: found -1.0'),
        (dict(learning_rate=0.1, momentum=1.0), 'momentum: found 1.0'),
        (dict(learning_rate=0.1, k=0), 'k: found 0'),
        (dict(learning_rate=0.1, k=5, slow_step_size=0.0), 'slow_step_size: found 0.0'),
        (dict(learning_rate=0.1, k=5, slow_step_size=1.1), 'slow_step_size: found 1.1'),
        (dict(learning_rate=0.1, k=5, buffer_policy='keep'), 'buffer_policy: found keep'),
        (dict(learning_rate=0.1, ema_decay=1.0), 'ema_decay: found 1.0'),
    ],
)
def test_what_has_no_answer_is_told(case, words):
    with pytest.raises(ValueError, match=words) as caught:
        fixed_point(process(**{'curvature': 1.0, **case}), 1.0)
    assert '\n' not in str(caught.value)


def test_negative_noise_is_told():
    with pytest.raises(ValueError, match=r'noise: found -1\.0'):
        fixed_point(process(0.1, 1.0), -1.0)
    with pytest.raises(ValueError, match=r'noise: found -1\.0'):
        stationary_variance(0.1, 1.0, -1.0)
    with pytest.raises(ValueError, match=r'learning_rate \* curvature: found 2.5'):
        stationary_variance(jnp.array([0.1, 2.5]), 1.0, 1.0)


def test_traced_numbers_get_inf_and_a_flag():
    rates = jnp.array([0.1, 1.9, 2.0, 2.5, 1e3])
    rest = jax.vmap(lambda g: fixed_point(process(g, 1.0), 1.0))(rates)
    assert rest.stable.tolist() == [True, True, False, False, False]
    assert np.isinf(rest.covariance[2:]).all() and np.isinf(rest.average[2:]).all()
    assert np.isfinite(rest.covariance[:2]).all()
    closed = jax.jit(stationary_variance)(rates, 1.0, 1.0)
    assert np.isinf(closed[2:]).all() and (closed[:2] > 0).all()
    for more in (ema_variance, tail_variance):
        found = jax.jit(more)(rates, 1.0, 1.0, {ema_variance: 0.9, tail_variance: 5}[more])
        assert (found[2:] == jnp.inf).all() and (found[:2] > 0).all()
