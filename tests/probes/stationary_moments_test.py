"""The probe of stationary moments against NumPy on what it saw: which updates, which weights."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from probed import ar1, info, watch

from lbexp import moments
from lbexp.optimizers import lookahead
from lbexp.probes.stationary_moments import stationary_moments
from lbexp.theory.stationary_variance import stationary_variance

H = 0.2  # learning rate; curvature and noise are 1, so r = 0.8 and tau = 9


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
