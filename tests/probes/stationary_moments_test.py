"""The probe against NumPy on what it saw, and its error bars against the spread of many runs with
known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import t as student

from lbexp import moments
from lbexp.optimizers import lookahead
from lbexp.probes import UpdateInfo
from lbexp.probes.stationary_moments import stationary_moments
from lbexp.theory.stationary_variance import stationary_variance

H = 0.2  # learning rate; curvature and noise are 1, so r = 0.8 and tau = 9


def info(step, params, loss=0.0, opt_state=()):
    zero = jnp.zeros(())
    return UpdateInfo(
        jnp.asarray(step),
        jnp.asarray(loss),
        params,
        params,
        params,
        opt_state,
        zero,
        jnp.zeros((), bool),
    )


def watch(probe, series, losses=None):
    """Summary after the probe has seen params `series` (pytree of [T, ...]) at steps 1 .. T."""
    losses = jnp.zeros(jax.tree.leaves(series)[0].shape[0]) if losses is None else losses
    first = info(0, jax.tree.map(lambda x: x[0], series), losses[0])

    def run(series, losses):
        def look(carry, seen):
            state, step = carry
            state = probe.update(state, info(step, *seen))
            return (state, step + 1), None

        return jax.lax.scan(look, (probe.init(first), 1), (series, losses))[0][0]

    return jax.jit(lambda *seen: probe.summary(run(*seen)))(series, losses)


def ar1(r, length, shape, seed=0, scale=1.0):
    generator = np.random.default_rng(seed)
    x, seen = generator.standard_normal(shape), []
    for _ in range(length):
        x = r * x + np.sqrt(1 - r**2) * generator.standard_normal(shape)
        seen.append(scale * x)
    return np.asarray(seen, 'f4')


def test_numbers_of_one_run():
    x = ar1(0.5, 203, (3,), seed=1) + np.array([1.0, 2.0, 3.0], 'f4')
    loss = ar1(0.5, 203, (), seed=2)
    found = watch(stationary_moments(burn_in=100), {'w': x}, loss)
    used, used_loss = x[99:].astype('f8'), loss[99:].astype('f8')
    assert found['fast_count'] == 104
    np.testing.assert_allclose(found['fast_coordinate_mean'], used.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found['fast_mean'], used.mean(), rtol=1e-5)
    # 104 values: 26 batches of 4.
    error = used.reshape(26, 4, 3).mean(1).std(0, ddof=1) / np.sqrt(26)
    np.testing.assert_allclose(found['fast_coordinate_mean_error'], error, rtol=1e-4)
    np.testing.assert_allclose(found['fast_coordinate_variance'], used.var(0) + error**2, rtol=1e-4)
    np.testing.assert_allclose(found['fast_loss_mean'], used_loss.mean(), rtol=1e-4, atol=1e-5)
    error = used_loss.reshape(26, 4).mean(1).std(ddof=1) / np.sqrt(26)
    np.testing.assert_allclose(found['fast_loss_mean_error'], error, rtol=1e-4)
    np.testing.assert_allclose(found['fast_loss_variance'], used_loss.var() + error**2, rtol=1e-4)


@pytest.fixture(scope='module')
def many_runs():
    """400 runs of an AR(1) process of variance 4, each with its own probe."""
    series = jnp.asarray(ar1(0.8, 4000, (400, 2), scale=2.0).swapaxes(0, 1))

    def one(x):
        return watch(stationary_moments(), {'w': x}, jnp.square(x[:, 0]))

    return jax.jit(jax.vmap(one))(series)


@pytest.mark.parametrize(
    'name, truth',
    [
        ('fast_variance', 4.0),
        ('fast_mean', 0.0),
        ('fast_coordinate_variance', 4.0),
        ('fast_coordinate_mean', 0.0),
        ('fast_loss_mean', 4.0),
        ('fast_loss_variance', 32.0),  # of the square of a normal of variance 4
    ],
)
def test_error_bars_cover(many_runs, name, truth):
    """4000 values are worth 444 (mean) or 880 (variance) independent ones; 95 % intervals, 30
    degrees of freedom."""
    value, error = np.asarray(many_runs[name]), np.asarray(many_runs[f'{name}_error'])
    batches = 4000 // 128
    assert value.mean() == pytest.approx(truth, abs=4.5 * value.std() / np.sqrt(400))
    np.testing.assert_allclose(np.sqrt(np.mean(error**2)), value.std(), rtol=0.15)
    covered = np.mean(np.abs(value - truth) < student.ppf(0.975, batches - 1) * error)
    assert 0.9 < covered < 0.985


def test_stationarity(many_runs):
    for name in ('fast_stationarity_z', 'fast_loss_stationarity_z'):
        z = np.asarray(many_runs[name])
        assert 0.8 < z.std() < 1.4 and np.mean(np.abs(z) > 4) < 0.02
    growing = ar1(0.5, 4000, (20,), seed=5) * np.linspace(0.5, 1.5, 4000, dtype='f4')[:, None]
    assert watch(stationary_moments(), {'w': growing})['fast_stationarity_z'] < -4


@pytest.mark.long
def test_many_coordinates_have_leaf_errors():
    x = {'a': ar1(0.5, 2000, (100,), seed=3), 'b': ar1(0.5, 2000, (50,), seed=4, scale=3.0)}
    found = watch(stationary_moments(coordinates=64), x)
    assert 'fast_coordinate_variance' not in found
    expected = np.concatenate([x['a'].var(0), x['b'].var(0)]).mean()
    np.testing.assert_allclose(found['fast_variance'], expected, rtol=1e-4)
    truth = (100 * 1 + 50 * 9) / 150
    # Var of a sample variance: 2 V^2 (1 + r^2) / (1 - r^2) / T for each coordinate.
    error = np.sqrt((100 * 1 + 50 * 81) * 2 * (1.25 / 0.75) / 2000) / 150
    assert found['fast_variance_error'] == pytest.approx(error, rel=0.4)
    assert abs(found['fast_variance'] - truth) < 4 * error + truth * 3 / 2000
    few = watch(stationary_moments(coordinates=150), x)
    np.testing.assert_allclose(few['fast_variance_error'], found['fast_variance_error'], rtol=0.05)


@pytest.mark.parametrize('length', [1, 3, 40])
def test_population_is_unbiased_whatever_the_correlation(length):
    """The time variance of one replica over 3 correlated values is far too small; the pooled one is
    not."""
    replicas = 40_000
    x = ar1(0.95, length, (replicas, 2), seed=6, scale=3.0) + np.array([0.0, 5.0], 'f4')
    found = watch(stationary_moments(population=True), {'x': x})
    assert found['fast_coordinate_variance'].shape == (2,)
    for variance, error in (
        (found['fast_coordinate_variance'], found['fast_coordinate_variance_error']),
        (found['fast_variance'], found['fast_variance_error']),
    ):
        assert (np.abs(np.asarray(variance) - 9.0) < 4.5 * np.asarray(error)).all()
    np.testing.assert_allclose(
        found['fast_coordinate_mean'], [0.0, 5.0], atol=4.5 * 3 / np.sqrt(replicas)
    )
    if length == 1:
        np.testing.assert_allclose(
            found['fast_coordinate_variance'], x[0].var(0, ddof=1), rtol=1e-4
        )
        np.testing.assert_allclose(
            found['fast_coordinate_variance_error'], 9 * np.sqrt(2 / replicas), rtol=0.05
        )


def test_population_errors_cover():
    series = jnp.asarray(ar1(0.9, 20, (300, 200), seed=7).transpose(1, 0, 2)[..., None])

    def one(x):
        return watch(stationary_moments(population=True), {'x': x})

    found = jax.jit(jax.vmap(one, in_axes=2))(series.transpose(1, 0, 2, 3))
    z = (np.asarray(found['fast_variance']) - 1) / np.asarray(found['fast_variance_error'])
    assert abs(z.mean()) < 0.35 and 0.8 < z.std() < 1.25


@pytest.mark.parametrize(
    'burn_in, every, offset, steps', [(5, 1, 0, range(5, 41)), (7, 5, 2, range(7, 41, 5))]
)
def test_which_updates_count(burn_in, every, offset, steps):
    x = np.arange(1, 41, dtype='f4')[:, None]
    found = jax.jit(lambda b, e, o: watch(stationary_moments(b, every=e, offset=o), {'w': x}))(
        burn_in, every, offset
    )
    assert found['fast_count'] == len(steps)
    np.testing.assert_allclose(found['fast_mean'], np.mean(steps), rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize('fading, expected', [(0, {50}), (200, {400, 800, 1600}), (10**9, {1600})])
def test_a_burn_in_chosen_by_the_test(fading, expected):
    """A start 30 standard deviations away that fades within 200 updates; none; one that never
    fades."""
    t = np.arange(1, 4001)
    start = 30 * np.exp(-t / fading) if 0 < fading < 10**6 else 0.02 * t * (fading > 0)
    probe = stationary_moments(burn_in=50, latest=3000)
    x = [(ar1(0.5, 4000, (3,), seed) + start[:, None]).astype('f4') for seed in range(20)]
    found = jax.jit(jax.vmap(lambda one: watch(probe, {'w': one}, one[:, 0])))(np.stack(x))
    begun = np.asarray(found['fast_burn_in'])
    # |z| > 3 by chance: loss and variance, tested at most six times.
    assert np.isin(begun, list(expected)).mean() > 0.8, begun
    np.testing.assert_array_equal(found['fast_count'], 4001 - begun)
    if fading < 10**6:
        assert abs(np.median(found['fast_variance']) - 1) < 0.1
        assert abs(np.median(found['fast_mean'])) < 0.1


def test_before_burn_in_there_is_nothing():
    found = watch(stationary_moments(burn_in=100), {'w': np.ones((10, 2), 'f4')})
    assert found['fast_count'] == 0
    for name in ('fast_mean', 'fast_variance', 'fast_variance_error', 'fast_loss_mean'):
        assert np.isnan(found[name])


@pytest.mark.parametrize('burn_in', [0, 10, 20])
def test_a_burn_in_needs_room_to_grow(burn_in):
    with pytest.raises(
        ValueError,
        match=(f'latest: found 10 with burn_in {burn_in}; allowed: updates > burn_in >= 1'),
    ):
        stationary_moments(burn_in=burn_in, latest=10)


def test_prefix_and_bad_arguments():
    assert 'phase2_variance' in watch(
        stationary_moments(prefix='phase2'), {'w': np.ones((3, 1), 'f4')}
    )
    for given, words in (
        (dict(weights='slowest'), "weights: found 'slowest'; allowed: fast, slow, evaluation"),
        (dict(burn_in=-1), 'burn_in: found -1'),
        (dict(every=0), 'every: found 0'),
        (dict(batches=5), 'batches: found 5'),
    ):
        with pytest.raises(ValueError, match=words):
            watch(stationary_moments(**given), {'w': np.ones((3, 1), 'f4')})


def test_fast_and_slow_weights_of_lookahead():
    """Slow weights are those after the last synchronisation; offset picks the place in the
    cycle."""
    optimizer = lookahead(optax.sgd(H), k=4, slow_step_size=0.5)
    probes = [
        stationary_moments(weights='slow', burn_in=4),
        stationary_moments(burn_in=4, every=4, offset=0),
        stationary_moments(burn_in=4, every=4, offset=3, prefix='third'),
        stationary_moments(weights='evaluation', burn_in=4, every=4, offset=0),
    ]
    targets = np.random.default_rng(0).standard_normal((19, 2)).astype('f4')

    def run(targets):
        def step(carry, target):
            params, state, measured, t = carry
            updates, state = optimizer.update({'x': params['x'] - target}, state, params)
            params = optax.apply_updates(params, updates)
            now = info(t, params, 0.0, state)
            measured = [p.update(m, now) for p, m in zip(probes, measured)]
            return (params, state, measured, t + 1), params['x']

        params = {'x': jnp.ones((2,))}
        state = optimizer.init(params)
        measured = [p.init(info(0, params, 0.0, state)) for p in probes]
        (_, _, measured, _), seen = jax.lax.scan(step, (params, state, measured, 1), targets)
        return [p.summary(m) for p, m in zip(probes, measured)], seen

    (slow, fast, third, deployed), seen = jax.jit(run)(targets)
    at_sync = np.array(seen)[3::4]
    np.testing.assert_allclose(
        slow['slow_coordinate_mean'], np.repeat(at_sync, 4, axis=0).mean(0), rtol=1e-5
    )
    np.testing.assert_allclose(fast['fast_coordinate_mean'], at_sync.mean(0), rtol=1e-5)
    np.testing.assert_allclose(deployed['evaluation_coordinate_mean'], at_sync.mean(0), rtol=1e-5)
    np.testing.assert_allclose(
        third['third_coordinate_mean'], np.array(seen)[6::4].mean(0), rtol=1e-5
    )


def test_sgd_at_rest_end_to_end():
    """One long run of plain SGD; V* = h / (2 - h)."""
    steps = 60_000
    probe = stationary_moments(burn_in=100)
    noise = jnp.asarray(np.random.default_rng(8).standard_normal((steps, 1)), jnp.float32)

    def run(noise):
        def step(carry, xi):
            x, state, t = carry
            x = x - H * (x - xi)
            return (x, probe.update(state, info(t + 1, {'w': x}, jnp.sum(x**2) / 2)), t + 1), None

        zero = jnp.zeros(1)
        return jax.lax.scan(step, (zero, probe.init(info(0, {'w': zero})), 0), noise)[0][1]

    found = jax.jit(lambda noise: probe.summary(run(noise)))(noise)
    truth = float(stationary_variance(H, 1.0, 1.0))
    assert abs(found['fast_variance'] - truth) < 4 * found['fast_variance_error']
    assert found['fast_variance_error'] < 0.03 * truth
    assert abs(found['fast_loss_mean'] - truth / 2) < 4 * found['fast_loss_mean_error']
    assert abs(found['fast_stationarity_z']) < 4


def test_states_of_two_segments_merge():
    x = {'w': ar1(0.5, 100, (6,), seed=9)}
    empty = moments.zeros({'w': x['w'][0]})

    def fold(values):
        return jax.lax.scan(lambda m, v: (moments.update(m, v), None), empty, values)[0]

    both = moments.merge(fold({'w': x['w'][:30]}), fold({'w': x['w'][30:]}))
    found = watch(stationary_moments(population=True), {'w': x['w'][..., None]})
    np.testing.assert_allclose(both.mean['w'].mean(), found['fast_mean'], rtol=1e-4)
