"""Theory of workers that drift apart and of stale gradients against NumPy recursions with every
worker written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.theory.fixed_point import fixed_point
from lbexp.theory.local_sgd import averaged_variance, local_sgd, worker_spread
from lbexp.theory.lookahead import proposition_2
from lbexp.theory.noisy_quadratic import noisy_quadratic, start
from lbexp.theory.staleness import delay_limit, memoryless, staleness

pytestmark = pytest.mark.usefixtures('quick_compilation')


@pytest.fixture(autouse=True, scope='module')
def x64():
    with jax.enable_x64(True):
        yield


def workers_at_rest(
    rate,
    a,
    beta,
    workers,
    k,
    alpha,
    mu=0.0,
    nesterov=True,
    buffer_policy='maintain',
    v=1.0,
    cycles=4000,
):
    """(variance of the slow weights, E mean_w (x_w - mean x)^2 at a meeting), by iterating all
    second moments.

    The state is (x_1 .. x_W, m_1 .. m_W, s, u); each update of each worker adds noise of its own.
    """
    n, w = 2 * workers + 2, np.arange(workers)
    move, noise = np.eye(n), np.zeros((n, n))
    for i in w:
        move[workers + i, [i, workers + i]] = a, beta
        move[i, [i, workers + i]] = 1 - rate * a, -rate * beta
        kick = np.zeros(n)
        kick[[i, workers + i]] = rate * a, -a
        noise += v * np.outer(kick, kick)
    s, u = n - 2, n - 1
    outer = np.eye(n)
    outer[u] = 0
    outer[u, w], outer[u, s], outer[u, u] = -1 / workers, 1, mu
    d = np.zeros(n)
    d[w], d[s] = -1 / workers, 1
    outer[s] = np.eye(n)[s] - alpha * (d + mu * outer[u] if nesterov else outer[u])
    outer[w] = outer[s]
    for i in w:
        if buffer_policy == 'reset':
            outer[workers + i] = 0
        if buffer_policy == 'average':
            outer[workers + i] = np.eye(n)[workers + w].mean(0)
    moments = np.zeros((n, n))
    for _ in range(cycles):
        for _ in range(k):
            moments = move @ moments @ move.T + noise
        apart = np.eye(n)[w] - np.eye(n)[w].mean(0)
        spread = np.trace(apart @ moments @ apart.T) / workers
        moments = outer @ moments @ outer.T
    return moments[s, s], spread


@pytest.mark.parametrize('h', [0.05, 0.7, 1.6])
@pytest.mark.parametrize('workers, k, alpha', [(1, 4, 0.5), (3, 4, 0.5), (3, 1, 1.0), (4, 9, 0.8)])
def test_averaged_variance(h, workers, k, alpha):
    rate, a, v = 0.4, h / 0.4, 1.7
    found = averaged_variance(rate, a, v, workers, k, alpha)
    slow, spread = workers_at_rest(rate, a, 0.0, workers, k, alpha, v=v)
    np.testing.assert_allclose(found, slow, rtol=1e-10)
    r, sgd = 1 - h, h * v / (2 - h)
    printed = alpha**2 * (1 - r ** (2 * k)) * sgd / workers / (1 - (1 - alpha + alpha * r**k) ** 2)
    np.testing.assert_allclose(found, printed, rtol=1e-10)
    np.testing.assert_allclose(
        worker_spread(rate, a, v, workers, k=k), spread, rtol=1e-10, atol=1e-14
    )
    # The recursion rejects what is nearly right: the noise of one worker, or of all of them
    # squared.
    if workers > 1:
        assert abs(proposition_2(rate, a, v, k, alpha) / slow - 1) > 0.5
        assert abs(proposition_2(rate, a, v, k, alpha) / workers**2 / slow - 1) > 0.5


def test_plain_averaging_forgets_how_often():
    for k in (1, 7, 50):
        np.testing.assert_allclose(
            averaged_variance(0.3, 1.0, 1.0, 4, k), 0.3 / 1.7 / 4, rtol=1e-12
        )


@pytest.mark.parametrize('buffer_policy', ['maintain', 'average', 'reset'])
@pytest.mark.parametrize('mu, nesterov', [(0.0, True), (0.6, True), (0.6, False)])
def test_momentum_inside_and_outside(buffer_policy, mu, nesterov):
    rate, a, beta, workers, k, alpha, v = 0.2, 0.9, 0.7, 3, 5, 0.6, 1.3
    made = local_sgd(rate, a, beta, False, k, alpha, mu, nesterov, buffer_policy)
    rest = fixed_point(made, v / workers).covariance
    slow, spread = workers_at_rest(
        rate, a, beta, workers, k, alpha, mu, nesterov, buffer_policy, v, cycles=600
    )
    np.testing.assert_allclose(made.evaluation @ rest @ made.evaluation, slow, rtol=1e-10)
    found = worker_spread(rate, a, v, workers, beta, k=k, buffer_policy=buffer_policy)
    np.testing.assert_allclose(found, spread, rtol=1e-10)
    wrong = local_sgd(rate, a, beta, False, k, alpha, mu, not nesterov, buffer_policy)
    if mu:
        other = fixed_point(wrong, v / workers).covariance
        assert abs(wrong.evaluation @ other @ wrong.evaluation / slow - 1) > 0.01


def test_the_mean_of_the_workers_moves_as_one():
    """Without noise, three cycles by hand from 1, with outer momentum."""
    rate, a, k, alpha, mu = 0.3, 0.8, 4, 0.7, 0.5
    x, m, s, u = 1.0, 0.0, 1.0, 0.0
    for _ in range(3):
        for _ in range(k):
            m = 0.6 * m + a * x
            x = x - rate * m
        u = mu * u + s - x
        s = s - alpha * (s - x + mu * u)
        x, m = s, 0.0
    made = local_sgd(rate, a, 0.6, False, k, alpha, mu, True, 'reset')
    found = noisy_quadratic(made, 0.0, start(made, 1.0), 3 * k).mean
    np.testing.assert_allclose(found[2], s, rtol=1e-12)


def delayed_at_rest(rate, a, beta, delay, k, alpha, v, cycles=4000):
    """Variance of the slow weights (of the weights without k) with gradients of `delay` updates
    ago."""
    n = delay + 3
    move = np.zeros((n, n))
    move[1 : delay + 1, :delay] = np.eye(delay)
    move[n - 2, [delay, n - 2]] = a, beta
    move[0] = np.eye(n)[0] - rate * move[n - 2]
    move[n - 1, n - 1] = 1
    kick = np.zeros(n)
    kick[[0, n - 2]] = rate * a, -a
    meet = np.eye(n)
    meet[[0, n - 1]] = alpha * np.eye(n)[0] + (1 - alpha) * np.eye(n)[n - 1]
    moments = np.zeros((n, n))
    for t in range(cycles * (k or 1)):
        moments = move @ moments @ move.T + v * np.outer(kick, kick)
        if k and (t + 1) % k == 0:
            moments = meet @ moments @ meet.T
    return moments[n - 1, n - 1] if k else moments[0, 0]


@pytest.mark.parametrize('delay', [0, 1, 4])
@pytest.mark.parametrize(
    'beta, k, alpha', [(0.0, None, 0.5), (0.5, None, 0.5), (0.0, 3, 0.4), (0.5, 5, 0.5)]
)
def test_constant_staleness(delay, beta, k, alpha):
    rate, a, v = 0.05, 1.5, 1.3
    made = staleness(rate, a, delay, beta, k, alpha)
    rest = fixed_point(made, v).covariance
    expected = delayed_at_rest(rate, a, beta, delay, k, alpha, v, 1000)
    np.testing.assert_allclose(made.evaluation @ rest @ made.evaluation, expected, rtol=1e-10)
    other = staleness(rate, a, delay + 1, beta, k, alpha)
    wrong = other.evaluation @ fixed_point(other, v).covariance @ other.evaluation
    assert abs(wrong / expected - 1) > 1e-3


def test_without_staleness_it_is_the_optimizer_itself():
    rate, a, k, alpha = 0.3, 1.2, 4, 0.6
    made = staleness(rate, a, 0, k=k, slow_step_size=alpha)
    rest = fixed_point(made, 1.0).covariance
    expected = proposition_2(rate, a, 1.0, k, alpha)
    np.testing.assert_allclose(made.evaluation @ rest @ made.evaluation, expected, rtol=1e-11)
    np.testing.assert_allclose(
        memoryless(rate, a, 1.0, 1, 0.0, k, alpha).covariance[2, 2], expected, rtol=1e-11
    )


@pytest.mark.parametrize('delay', [0, 1, 2, 7, 31])
def test_limit_of_stability(delay):
    """Roots of l^(delay + 1) - l^delay + h lie inside the unit circle just below the limit, outside
    just above."""
    limit = float(delay_limit(2.0, delay)) * 2.0
    for factor, inside in ((0.999, True), (1.001, False)):
        polynomial = np.zeros(delay + 2)
        polynomial[0], polynomial[1], polynomial[-1] = 1, -1, polynomial[-1] + factor * limit
        if delay == 0:
            polynomial = np.array([1, -1 + factor * limit])
        assert (np.abs(np.roots(polynomial)).max() < 1) == inside
    if delay <= 7:
        with pytest.raises(ValueError, match='spectral radius'):
            fixed_point(staleness(1.001 * limit / 2, 2.0, delay), 1.0)
        assert fixed_point(staleness(0.999 * limit / 2, 2.0, delay), 1.0).stable


def memoryless_at_rest(rate, a, beta, workers, k, alpha, v, cycles=2000):
    """Covariance of (x, m, s) by iterating all second moments of server and copies; each update a
    mean over workers."""
    n = 3 + workers
    maps = []
    for w in range(workers):
        move = np.eye(n)
        move[1] = beta * np.eye(n)[1] + a * np.eye(n)[3 + w]
        move[0] = np.eye(n)[0] - rate * move[1]
        kick = np.zeros(n)
        kick[:2] = rate * a, -a
        maps.append((move, kick, w))
    meet, moments = np.eye(n), np.zeros((n, n))
    meet[[0, 2]] = alpha * np.eye(n)[0] + (1 - alpha) * np.eye(n)[2]
    seen = []
    for t in range(cycles * (k or 1)):
        new = np.zeros((n, n))
        for move, kick, w in maps:
            pull = np.eye(n)
            pull[3 + w] = np.eye(n)[0]
            last = pull @ meet if k and (t + 1) % k == 0 else pull
            new += last @ (move @ moments @ move.T + v * np.outer(kick, kick)) @ last.T / workers
        moments = new
        seen.append(moments[:3, :3])
    return moments[:3, :3], np.mean(seen[-(k or 1) :], axis=0)


@pytest.mark.parametrize('workers', [1, 2, 5])
@pytest.mark.parametrize('beta, k, alpha', [(0.0, None, 0.5), (0.5, None, 0.5), (0.5, 3, 0.4)])
def test_staleness_without_memory(workers, beta, k, alpha):
    rate, a, v = 0.06, 1.2, 0.7
    found = memoryless(rate, a, v, workers, beta, k, alpha)
    expected, average = memoryless_at_rest(rate, a, beta, workers, k, alpha, v, 500)
    seen = [0, 1] if k is None else [0, 1, 2]  # without k the recursion has no s
    block = np.ix_(seen, seen)
    np.testing.assert_allclose(np.asarray(found.covariance)[block], expected[block], rtol=1e-10)
    np.testing.assert_allclose(np.asarray(found.average)[block], average[block], rtol=1e-10)
    if workers > 1:
        constant = fixed_point(staleness(rate, a, workers - 1, beta, k, alpha), v).covariance[0, 0]
        assert abs(constant / expected[0, 0] - 1) > 1e-3  # the mean staleness alone does not tell


@pytest.mark.long
def test_over_grids():
    """vmapped over learning rates: unstable ones are infinite, none is NaN."""
    rates = jnp.array([0.1, 0.5, 3.0])
    found = jax.vmap(
        lambda rate: fixed_point(staleness(rate, 1.0, 2, k=3), 1.0).covariance[-1, -1]
    )(rates)
    assert np.isfinite(found[0]) and found[2] == jnp.inf
    found = jax.vmap(lambda rate: memoryless(rate, 1.0, 1.0, 4).covariance[0, 0])(rates)
    assert np.isfinite(found[0]) and found[2] == jnp.inf
    found = jax.vmap(lambda k: averaged_variance(0.1, 1.0, 1.0, 4, k, 0.5))(jnp.array([1, 8]))
    assert found[0] > found[1] > 0
    found = jax.vmap(lambda k: worker_spread(0.1, 1.0, 1.0, 4, k=k))(jnp.array([1, 8]))
    assert found[0] < found[1]


@pytest.mark.parametrize(
    'call, words',
    [
        (lambda: averaged_variance(0.1, 1.0, 1.0, 0, 4), 'workers: found 0'),
        (lambda: averaged_variance(2.1, 1.0, 1.0, 2, 4), r'learning_rate \* curvature'),
        (lambda: local_sgd(0.1, 1.0, k=0), 'k: found 0'),
        (lambda: local_sgd(0.1, 1.0, outer_momentum=1.0), 'outer_momentum: found 1.0'),
        (lambda: local_sgd(0.1, 1.0, buffer_policy='keep'), 'buffer_policy: found keep'),
        (lambda: staleness(0.1, 1.0, -1), 'delay: found -1'),
        (lambda: staleness(0.1, 1.0, 1, k=2, slow_step_size=1.5), 'slow_step_size: found 1.5'),
        (lambda: delay_limit(1.0, -1), 'delay: found -1'),
        (lambda: memoryless(0.1, 1.0, 1.0, 0), 'workers: found 0'),
        (lambda: memoryless(2.5, 1.0, 1.0, 4), 'spectral radius of second moments'),
    ],
)
def test_out_of_range(call, words):
    with pytest.raises(ValueError, match=words):
        call()
