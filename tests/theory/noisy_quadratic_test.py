"""Recursion, fixed point and averages against the algorithms themselves, run in NumPy on basis
vectors."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference.algorithm import Algorithm

from lbexp.theory.fixed_point import fixed_point, within_cycle
from lbexp.theory.noisy_quadratic import (
    evaluation_weights,
    fast_weights,
    noisy_quadratic,
    start,
    tail_average,
    trajectory,
)
from lbexp.theory.process import process
from lbexp.theory.stationary_variance import (
    stationary_variance,
    tail_variance,
)

pytestmark = pytest.mark.usefixtures('quick_compilation')


@pytest.fixture(autouse=True, scope='module')
def x64():
    with jax.enable_x64(True):
        yield


OPTIMIZERS = [dict(), dict(momentum=0.9), dict(momentum=0.7, nesterov=True)]
AROUND = [
    dict(),
    *(dict(k=4, slow_step_size=0.3, buffer_policy=b) for b in ('maintain', 'reset', 'interpolate')),
]


AVERAGES = [dict(), dict(ema_decay=0.8)]
CASES = [{**a, **b, **c} for a, b, c in itertools.product(OPTIMIZERS, AROUND, AVERAGES)]
NAMES = ['-'.join(f'{k}={v}' for k, v in case.items()) or 'sgd' for case in CASES]


def algorithm(rate, a, momentum=0.0, slow_step_size=0.5, ema_decay=None, **rest):
    return Algorithm(rate, a, momentum, alpha=slow_step_size, decay=ema_decay, **rest)


@pytest.mark.parametrize('case', CASES, ids=NAMES)
def test_recursion_is_the_algorithm(case):
    noise, mean, variance = 0.7, 1.5, 0.4
    p = process(0.3, 0.8, **case)
    expected = algorithm(0.3, 0.8, **case).moments(18, mean, variance, noise)
    states = trajectory(p, noise, start(p, mean, variance), 18)
    for t in (1, 3, 4, 5, 12, 18):
        direct = noisy_quadratic(p, noise, start(p, mean, variance), t)
        stacked = jax.tree.map(lambda x, t=t: x[t], states)
        z, v = expected[t - 1]
        for state in (direct, stacked):
            np.testing.assert_allclose(fast_weights(p, state), (z[0], v[0]), rtol=1e-10)
            deployed = 4 if 'ema_decay' in case else 2 if 'k' in case else 0
            weight = 1 - 0.8**t if 'ema_decay' in case else 1.0
            found = evaluation_weights(p, state, t)
            np.testing.assert_allclose(
                found, (z[deployed] / weight, v[deployed] / weight**2), rtol=1e-10
            )


@pytest.mark.parametrize('case', CASES, ids=NAMES)
def test_fixed_point_solves_the_algorithm(case):
    p = process(0.3, 0.8, **case)
    rest = fixed_point(p, 0.7)
    expected = algorithm(0.3, 0.8, **case).at_rest(0.7)
    assert rest.stable
    np.testing.assert_allclose(rest.covariance[0, 0], expected[-1, 0], rtol=1e-10)
    np.testing.assert_allclose(rest.average[0, 0], expected[:, 0].mean(), rtol=1e-10)
    state = start(p, 0.0)._replace(covariance=rest.covariance)
    deployed = -1 if 'ema_decay' in case else 2 if 'k' in case else 0
    np.testing.assert_allclose(evaluation_weights(p, state)[1], expected[-1, deployed], rtol=1e-10)
    k = case.get('k', 1)
    saw = within_cycle(p, 0.7, rest.covariance, k)
    np.testing.assert_allclose(saw[1:, 0, 0], expected[:, 0], rtol=1e-10)
    np.testing.assert_allclose(saw[-1], saw[0], rtol=1e-9, atol=1e-12)


def test_fixed_point_is_where_the_recursion_ends():
    p = process(0.3, 0.8, 0.9, k=4, buffer_policy='reset')
    late = noisy_quadratic(p, 0.7, start(p, 5.0), 4 * 10**8)
    np.testing.assert_allclose(late.covariance, fixed_point(p, 0.7).covariance, rtol=1e-10)
    np.testing.assert_allclose(late.mean, 0, atol=1e-12)


@pytest.mark.parametrize('length', [1, 2, 7, 60])
def test_tail_average(length):
    """Against the double sum over the autocovariances of the weights."""
    r, v = 0.7, float(stationary_variance(0.3, 1.0, 0.5))
    lags = np.abs(np.subtract.outer(np.arange(length), np.arange(length)))
    expected = v * np.mean(r**lags)
    np.testing.assert_allclose(tail_variance(0.3, 1.0, 0.5, length), expected, rtol=1e-11)
    p = process(0.3, 1.0, tail=True)
    mean, variance = tail_average(p, 0.5, start(p, 2.0), 400, length)
    np.testing.assert_allclose(variance, expected, rtol=1e-10)
    # From the start: the mean of the average is that of r^t x_0.
    mean, _ = tail_average(p, 0.5, start(p, 2.0), 0, length)
    np.testing.assert_allclose(mean, np.mean(2 * r ** np.arange(1, length + 1)), rtol=1e-11)


def test_tail_average_of_lookahead_against_monte_carlo():
    a, rate, k, length, replicas = 1.0, 0.4, 3, 7, 40_000
    p = process(rate, a, 0.5, k=k, slow_step_size=0.5, tail=True)
    _, expected = tail_average(p, 1.0, start(p, 0.0), 60, length)
    x = simulate(Algorithm(rate, a, 0.5, k=k), 60 + length, replicas)[60:].mean(0)
    assert abs(x.var() / expected - 1) < 4 * np.sqrt(2 / replicas)


def simulate(how, steps, replicas, seed=0):
    """Weights after each update [steps, replicas], with standard normal targets."""
    generator = np.random.default_rng(seed)
    z, seen = np.zeros((5, replicas)), []
    for t in range(1, steps + 1):
        z = how.update(z, generator.standard_normal(replicas), t)
        seen.append(z[0])
    return np.array(seen)


@pytest.mark.parametrize('case', [CASES[0], CASES[8], CASES[12], CASES[14], CASES[22]], ids=str)
def test_monte_carlo(case):
    replicas = 40_000
    x = simulate(algorithm(0.3, 0.8, **{**case, 'ema_decay': None}), 200, replicas)[-1]
    variance = fixed_point(process(0.3, 0.8, **{**case, 'ema_decay': None}), 1.0).covariance[0, 0]
    assert abs(x.var() / variance - 1) < 4 * np.sqrt(2 / replicas)


def test_unstable_recursion_grows_without_nan():
    p = process(2.5, 1.0, 0.5)
    exact = Algorithm(2.5, 1.0, 0.5)
    far = process(4.5, 1.0, 0.5)
    few = noisy_quadratic(p, 1.0, start(p, 1.0), 20)
    np.testing.assert_allclose(
        fast_weights(p, few)[1], exact.moments(20, 1.0, 0.0, 1.0)[-1][1][0], rtol=1e-10
    )
    many = noisy_quadratic(far, 1.0, start(far, 1.0), 10**6)
    assert np.isinf(np.abs(np.asarray(many.covariance))).all()
    assert not np.isnan(np.asarray(many.mean)).any()


def test_float32_and_vmap_over_everything():
    with jax.enable_x64(False):

        def f(g, a, b, k):
            return fixed_point(process(g, a, b, k=k, slow_step_size=0.5), 1.0).covariance[0, 0]

        grid = (
            jnp.array([0.1, 0.3]),
            jnp.array([1.0, 0.5]),
            jnp.array([0.9, 0.0]),
            jnp.array([5, 3]),
        )
        found = jax.jit(jax.vmap(f))(*grid)
        assert found.dtype == jnp.float32
    exact = [
        Algorithm(g, a, b, k=k).at_rest(1.0)[-1, 0]
        for g, a, b, k in zip(*(np.asarray(x) for x in grid))
    ]
    np.testing.assert_allclose(found, exact, rtol=1e-5)
