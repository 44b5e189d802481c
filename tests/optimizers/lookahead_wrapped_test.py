"""Lookahead inside every wrapper, around other optimizers, and in a cohort."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from lookahead_cases import (
    ALPHA,
    CURVATURE,
    RATE,
    START,
    K,
    gradient,
    momentum_sgd,
    train,
)

from lbexp import optimizers
from lbexp.optimizers import lookahead
from lbexp.optimizers._layerwise.lazy_cond import cond_once


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
