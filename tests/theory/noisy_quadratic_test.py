"""Recursion, fixed point and closed forms against the algorithms themselves, run in NumPy on basis
vectors."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbexp.theory.fixed_point import fixed_point, spectral_radius, within_cycle
from lbexp.theory.limits import learning_rate_limit
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


class Algorithm:
    """Lookahead around momentum with an average, one coordinate, as one writes it in a loop. State:
    x m s m0 y."""

    def __init__(
        self,
        rate,
        a,
        beta=0.0,
        nesterov=False,
        k=None,
        alpha=0.5,
        buffer_policy='maintain',
        decay=None,
    ):
        self.__dict__.update(locals())

    def update(self, z, xi, t):
        """Update number t (from 1) of state z, with the target's deviation xi."""
        x, m, s, m0, y = z
        g = self.a * (x - xi)
        m = self.beta * m + g
        x = x - self.rate * (g + self.beta * m if self.nesterov else m)
        if self.k and t % self.k == 0:
            s = x = s + self.alpha * (x - s)
            if self.buffer_policy == 'reset':
                m = 0.0 * m
            if self.buffer_policy == 'interpolate':
                m = m0 = self.alpha * m + (1 - self.alpha) * m0
        if self.decay is not None:
            y = self.decay * y + (1 - self.decay) * x
        return np.array([x, m, s, m0, y])

    def maps(self, t):
        """The update is linear: its matrix and response are its values on basis vectors."""
        matrix = np.stack([self.update(e, 0.0, t) for e in np.eye(5)], axis=1)
        return matrix, self.update(np.zeros(5), 1.0, t)

    def moments(self, steps, mean, variance, noise):
        """Means and variances of x, s, y after 0 .. steps updates; covariances as vectors, by
        Kronecker products."""
        weights = np.array([1.0, 0, 1, 0, 0])
        z, cov = weights * mean, np.kron(weights, weights) * variance
        seen = []
        for t in range(1, steps + 1):
            matrix, response = self.maps(t)
            z, cov = matrix @ z, np.kron(matrix, matrix) @ cov + noise * np.kron(response, response)
            seen.append((z, np.diag(cov.reshape(5, 5))))
        return seen

    def at_rest(self, noise):
        """Stationary variance of (x, s, y) after each update of a cycle."""
        keep = (
            [0, 1]
            + [2] * bool(self.k)
            + [3] * (self.buffer_policy == 'interpolate')
            + [4] * (self.decay is not None)
        )
        n, cycle = len(keep), self.k or 1
        power, spread = np.eye(n * n), np.zeros(n * n)
        for t in range(1, cycle + 1):
            matrix, response = self.maps(t)
            matrix, response = matrix[np.ix_(keep, keep)], response[keep]
            kron = np.kron(matrix, matrix)
            power, spread = kron @ power, kron @ spread + noise * np.kron(response, response)
        cov, variances = np.linalg.solve(np.eye(n * n) - power, spread), []
        for t in range(1, cycle + 1):
            matrix, response = self.maps(t)
            matrix, response = matrix[np.ix_(keep, keep)], response[keep]
            cov = np.kron(matrix, matrix) @ cov + noise * np.kron(response, response)
            variances.append(np.diag(cov.reshape(n, n)))
        return np.array(variances)


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
