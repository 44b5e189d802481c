"""Lookahead against a float64 transcription of Algorithm 1, and inside every wrapper."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp import optimizers
from lbexp.optimizers import lookahead
from lbexp.optimizers._layerwise.lazy_cond import cond_once

RATE, DECAY, K, ALPHA = 0.1, 0.9, 3, 0.4
CURVATURE = np.array([1.0, 0.3, 4.0])
START = np.array([2.0, -2.0, 0.5])


def momentum_sgd():
    return optax.sgd(RATE, momentum=DECAY)


def gradient(params):
    return jax.tree.map(
        lambda w: jnp.broadcast_to(CURVATURE, w.shape).astype(w.dtype) * (w - 1), params
    )


def train(tx, steps, params=None, **extra_args):
    """Weights, evaluation weights and states after each step."""
    params = {'w': jnp.asarray(START)} if params is None else params
    state = tx.init(params)
    update = jax.jit(lambda grads, state, params: tx.update(grads, state, params, **extra_args))
    rows = []
    for _ in range(steps):
        updates, state = update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
        rows.append((params, optimizers.evaluation_params(state, params), state))
    return rows


def reference(steps, momentum, k=K, alpha=ALPHA):
    """Algorithm 1 around heavy ball, in NumPy: [(fast, slow, buffer)] after each step."""
    slow, fast, m, m_last, rows = START, START, np.zeros(3), np.zeros(3), []
    for t in range(1, steps + 1):
        m = DECAY * m + CURVATURE * (fast - 1)
        fast = fast - RATE * m
        if t % k == 0:
            slow = slow + alpha * (fast - slow)
            fast = slow
            if momentum == 'reset':
                m = np.zeros(3)
            if momentum == 'interpolate':
                m = m_last = alpha * m + (1 - alpha) * m_last
        rows.append((fast, slow, m))
    return rows


@pytest.mark.parametrize('momentum', ['maintain', 'reset', 'interpolate'])
def test_equals_the_paper(momentum):
    with jax.enable_x64(True):
        found = train(lookahead(momentum_sgd(), K, ALPHA, momentum), 14)
        for (fast, slow, state), expected in zip(found, reference(14, momentum), strict=True):
            trace = optax.tree.get(state.inner_state, 'trace')
            for a, b in zip((fast, slow, trace), expected, strict=True):
                np.testing.assert_allclose(a['w'], b, rtol=1e-12, atol=1e-14)


def test_slow_and_fast_weights_are_equal_to_the_bit_after_a_synchronisation():
    for dtype in (jnp.float32, jnp.bfloat16):
        weights = (
            jax.random.normal(jax.random.key(0), (3, 1000)) * 10.0 ** jnp.arange(-6, 6, 4)[:, None]
        )
        params = {'w': weights.astype(dtype).T}
        for step, (fast, slow, _) in enumerate(
            train(lookahead(momentum_sgd(), K, ALPHA), 9, params), 1
        ):
            assert bool((fast['w'] == slow['w']).all()) == (step % K == 0)


def test_alpha_one_is_the_inner_optimizer():
    with jax.enable_x64(True):
        for (found, *_), (expected, *_) in zip(
            train(lookahead(optax.adam(0.1), 2, 1.0), 7), train(optax.adam(0.1), 7)
        ):
            np.testing.assert_allclose(found['w'], expected['w'], rtol=1e-12)


def test_reset_keeps_counts_schedules_keys_and_second_moments():
    def schedule(count):
        return 0.1 / (1.0 + count)

    inner = optax.chain(optax.add_noise(1e-3, 0.5, 7), optax.adam(schedule))
    found, plain = (train(tx, 6)[-1][2] for tx in (lookahead(inner, 3, 0.5, 'reset'), inner))
    for count in optax.tree.get_all_with_path(found.inner_state, 'count'):
        assert int(count[1]) == 6
    keys = [jax.random.key_data(optax.tree.get(s, 'rng_key')) for s in (found, plain)]
    np.testing.assert_array_equal(*keys)
    assert float(jnp.abs(optax.tree.get(found, 'mu')['w']).max()) == 0
    assert float(optax.tree.get(found, 'nu')['w'].min()) > 0


def test_reset_reaches_through_wrappers_and_leaves_copies_of_weights_alone():
    params = {'a': jnp.ones(3), 'b': jnp.ones(3)}
    labels = {'a': 'adam', 'b': 'ball'}
    inner = optax.partition(
        {'adam': optax.adam(0.1), 'ball': lookahead(momentum_sgd(), 2, 0.5)}, labels
    )
    tx = lookahead(
        optax.inject_hyperparams(lambda rate: optax.chain(inner, optax.scale(rate)))(0.5),
        3,
        0.5,
        'reset',
    )
    state = tx.init(params)
    for _ in range(3):
        _, state = tx.update(gradient({'a': params['a'] + 1, 'b': params['b'] + 1}), state, params)
    assert float(jnp.abs(optax.tree.get(state, 'mu')['a']).max()) == 0
    assert float(jnp.abs(optax.tree.get(state, 'trace')['b']).max()) == 0
    inner_slow = optax.tree.get(state.inner_state, 'slow')
    assert float(jnp.abs(inner_slow['b']).min()) > 0.5
    assert float(state.inner_state.hyperparams['rate']) == 0.5


def test_momentum_that_has_no_known_name_is_an_error():
    with pytest.raises(ValueError, match=r"buffers are \['nu'\].*momentum_fields"):
        lookahead(optax.rmsprop(0.1), buffer_policy='reset').init(jnp.ones(3))
    named = lookahead(optax.rmsprop(0.1), 1, buffer_policy='reset', momentum_fields=('nu',))
    _, state = named.update(jnp.ones(3), named.init(jnp.ones(3)), jnp.ones(3))
    assert float(jnp.abs(optax.tree.get(state, 'nu')).max()) == 0
    lookahead(optax.sgd(0.1), buffer_policy='reset').init(jnp.ones(3))


@pytest.mark.parametrize('bad', [jnp.inf, jnp.nan])
def test_bad_updates_stay_out_of_the_slow_weights_until_a_synchronisation(bad):
    params = jnp.ones(2)
    tx = lookahead(momentum_sgd(), 3, 0.5, 'reset')

    def run(g):
        return _three_updates(tx, params, g)

    for update in (jax.jit(run), jax.jit(lambda g: jax.vmap(run)(jnp.stack([g, g])))):
        slow, trace = (jnp.atleast_2d(x)[0] for x in update(jnp.array([bad, 1.0])))
        np.testing.assert_array_equal(slow[:2], 1)
        assert bool((trace == 0).all())


def _three_updates(tx, params, bad):
    """The slow weights after one bad update and a second step; the trace after the
    synchronisation."""
    state = tx.init(params)
    _, state = tx.update(bad, state, params)
    _, state = tx.update(jnp.ones(2), state, params)
    slow = state.slow
    _, state = tx.update(jnp.ones(2), state, params)
    return slow, optax.tree.get(state, 'trace')


def test_works_inside_every_wrapper():
    """What each wrapper returns as evaluation weights equals the bare slow weights."""
    params = {'w': jnp.asarray(START, jnp.float32), 'frozen': jnp.ones(2)}
    bare = [x[1]['w'] for x in train(lookahead(momentum_sgd(), K, ALPHA), 7, {'w': params['w']})]

    def make(slow_step_size):
        return lookahead(momentum_sgd(), K, slow_step_size)

    mask, frozen = {'w': True, 'frozen': False}, {'w': False, 'frozen': True}
    wrapped = {
        'chain': optax.chain(optax.identity(), make(ALPHA)),
        'masked': optax.chain(
            optax.masked(make(ALPHA), mask), optax.masked(optax.set_to_zero(), frozen)
        ),
        'partition': optax.partition({True: make(ALPHA), False: optax.set_to_zero()}, mask),
        'apply_if_finite': optax.apply_if_finite(make(ALPHA), 3),
        'inject': optax.inject_hyperparams(make)(ALPHA),
        'multi_steps': optax.MultiSteps(make(ALPHA), 1).gradient_transformation(),
        'accumulate': optimizers.accumulate(make(ALPHA), 1),
    }
    gradients = jax.jit(lambda p: {'w': gradient({'w': p['w']})['w'], 'frozen': jnp.ones(2)})
    for name, tx in wrapped.items():
        state, weights, update = tx.init(params), params, jax.jit(tx.update)
        for step in range(7):
            updates, state = update(gradients(weights), state, weights)
            weights = optax.apply_updates(weights, updates)
            found = optimizers.evaluation_params(state, weights)
            np.testing.assert_allclose(found['w'], bare[step], rtol=1e-6, err_msg=name)
        if name in ('masked', 'partition'):
            np.testing.assert_array_equal(found['frozen'], params['frozen'])


def test_k_counts_updates_not_microbatches():
    params = jnp.ones(3)
    tx = optax.MultiSteps(lookahead(optax.sgd(0.1), 2, 0.5), 3)
    state, slow = tx.init(params), []
    update = jax.jit(tx.update)
    for _ in range(12):
        updates, state = update(jnp.ones(3), state, params)
        params = optax.apply_updates(params, updates)
        slow.append(float(optimizers.slow_params(state, params)[0]))
    np.testing.assert_allclose(slow, [1] * 5 + [0.9] * 6 + [0.8], rtol=1e-6)


def test_inner_optimizers_with_keys_and_extra_args():
    noisy = optax.chain(optimizers.gradient_noise(eta=0.01, seed=3), optax.noisy_sgd(0.1, key=5))
    train(lookahead(noisy, 2), 4)
    train(
        lookahead(optax.chain(momentum_sgd(), optax.contrib.reduce_on_plateau()), 2),
        4,
        value=jnp.float32(1.0),
    )


def test_nested():
    """The outer cycle around the inner one, against both written out (SGD)."""
    found = train(lookahead(lookahead(optax.sgd(RATE), 2, 0.5), 4, 0.3), 12)
    outer = middle = fast = START
    for t in range(1, 13):
        fast = fast - RATE * CURVATURE * (fast - 1)
        if t % 2 == 0:
            fast = middle = middle + 0.5 * (fast - middle)
        if t % 4 == 0:
            fast = outer = outer + 0.3 * (fast - outer)
        np.testing.assert_allclose(found[t - 1][0]['w'], fast, rtol=2e-5)
        np.testing.assert_allclose(found[t - 1][1]['w'], outer, rtol=2e-5)


def test_evaluation_weights_of_other_optimizers():
    params = jnp.ones(3)
    state = optax.adam(0.1).init(params)
    assert optimizers.evaluation_params(state, params) is params
    with pytest.raises(ValueError, match='no lookahead'):
        optimizers.slow_params(state, params)


def test_k_and_alpha_may_be_traced():
    ks, alphas = jnp.array([1, 2, 3, 5]), jnp.array([0.2, 0.5, 0.8, 1.0])

    def final(k, alpha):
        tx = lookahead(momentum_sgd(), k, alpha, 'interpolate')

        def step(carry, _):
            return (_step(tx, *carry), None)

        params = jnp.asarray(START, jnp.float32)
        return jax.lax.scan(step, (params, tx.init(params)), length=11)[0][0]

    found = jax.jit(jax.vmap(final))(ks, alphas)
    for row, k, alpha in zip(found, ks.tolist(), alphas.tolist()):
        np.testing.assert_allclose(row, reference(11, 'interpolate', k, alpha)[-1][0], rtol=2e-5)


def _step(tx, params, state):
    updates, state = tx.update(jnp.asarray(CURVATURE, jnp.float32) * (params - 1), state, params)
    return optax.apply_updates(params, updates), state


def test_optimal_step_size_is_the_minimum_along_the_line():
    """With the true curvature given, the slow weights minimise the loss between the two points."""
    with jax.enable_x64(True):
        a = CURVATURE

        def loss(w):
            return 0.5 * np.sum(a * (w - 1) ** 2)

        for k, rate, momentum in ((4, 0.3, 0.9), (5, 0.45, 0.5), (2, 0.02, 0.0)):
            inner = optax.sgd(rate, momentum=momentum)
            tx = lookahead(inner, k, 'optimal', alpha_low=0.1)
            *_, (_, slow, _) = train(tx, k, curvature={'w': jnp.asarray(a)})
            *_, (fast, _, _) = train(inner, k)
            grid = np.linspace(0.1, 1, 200_001)
            losses = 0.5 * (
                ((START + grid[:, None] * (np.asarray(fast['w']) - START) - 1) ** 2) * a
            ).sum(1)
            assert loss(np.asarray(slow['w'])) == pytest.approx(losses.min(), rel=1e-8)


def test_optimal_step_size_keeps_its_own_curvature():
    """Against Proposition 1 written out with the bias-corrected second moment."""
    with jax.enable_x64(True):
        tx = lookahead(optax.sgd(0.48), 3, 'optimal', alpha_low=0.05, curvature_decay=0.8)
        *_, (_, slow, _) = train(tx, 3)
        w, moment = START, np.zeros(3)
        for _ in range(3):
            g = CURVATURE * (w - 1)
            moment = 0.8 * moment + 0.2 * g**2
            before, w = w, w - 0.48 * g
        c = moment / (1 - 0.8**3)
        target = before - g / c
        d = START - w
        alpha = np.clip(np.sum((START - target) * c * d) / np.sum(d * c * d), 0.05, 1)
        assert 0.05 < alpha < 1
        np.testing.assert_allclose(slow['w'], START + alpha * (w - START), rtol=1e-10)


def test_errors_say_what_is_allowed():
    for arguments, message in (
        (dict(k=0), 'k: found 0; allowed: an integer >= 1'),
        (dict(buffer_policy='restart'), "'restart'; allowed"),
        (dict(slow_step_size='best'), "'best'; allowed"),
    ):
        with pytest.raises(ValueError, match=message):
            lookahead(optax.sgd(0.1), **arguments)
    tx = lookahead(optax.sgd(0.1))
    with pytest.raises(ValueError, match='params'):
        tx.update(jnp.ones(3), tx.init(jnp.ones(3)))
    tx = lookahead(optax.sgd(0.1), slow_step_size='optimal', curvature_decay=None)
    with pytest.raises(ValueError, match='curvature='):
        tx.update(jnp.ones(3), tx.init(jnp.ones(3)), jnp.ones(3))


def test_a_cohort_does_not_synchronise_in_every_step():
    """Under vmap the synchronisation stays inside a loop that runs when some replica needs it, and
    is no select."""
    calls = []

    def change(carry):
        jax.debug.callback(lambda: calls.append(1))
        return carry + 1

    def run(period):
        def step(total, t):
            return (cond_once(t % period == 0, change, total)[0], None)

        return jax.lax.scan(step, 0, jnp.arange(1, 13))[0]

    found = jax.jit(jax.vmap(run))(jnp.array([4, 4, 6]))
    jax.effects_barrier()
    assert found.tolist() == [3, 3, 2]
    assert len(calls) <= 4 * 3  # steps 4, 6, 8, 12; not 12 steps
