"""What optax 0.2.8 does in lookahead and noise, and what ours do: each test shows both.

A test that fails in its first half says that optax has changed: then the claim in
docs/reference/optimizers.md goes.
"""

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.training.train_state import TrainState
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from lbexp import optimizers

START = jnp.array([1.0, -2.0])


def heavy_ball():
    return optax.sgd(0.1, momentum=0.9)


def steps(tx, count=6, params=START, **extra_args):
    state, update = tx.init(params), jax.jit(lambda g, s, p: tx.update(g, s, p, **extra_args))
    for _ in range(count):
        updates, state = update(params, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.filterwarnings('ignore')
def test_lookahead_takes_plain_parameters():
    theirs = optax.lookahead(heavy_ball(), 3, 0.5)
    with pytest.raises(AttributeError, match='fast'):
        steps(theirs)
    with pytest.raises(AttributeError, match='fast'):
        train_state = TrainState.create(apply_fn=None, params={'w': START}, tx=theirs)
        train_state.apply_gradients(grads={'w': START})

    ours = optimizers.lookahead(heavy_ball(), 3, 0.5)
    expected, _ = steps(ours)
    train_state = TrainState.create(apply_fn=None, params={'w': START}, tx=ours)
    for _ in range(6):
        train_state = train_state.apply_gradients(grads=train_state.params)
    np.testing.assert_allclose(train_state.params['w'], expected, rtol=1e-6)


@pytest.mark.parametrize(
    'wrap', [lambda tx: optax.MultiSteps(tx, 1), lambda tx: optax.apply_if_finite(tx, 2)]
)
def test_lookahead_works_inside_wrappers(wrap):
    both = optax.LookaheadParams.init_synced(START)
    theirs = wrap(optax.lookahead(heavy_ball(), 3, 0.5))
    with pytest.raises((TypeError, ValueError, AttributeError)):
        theirs.update(START, theirs.init(both), both)

    expected, _ = steps(optimizers.lookahead(heavy_ball(), 3, 0.5))
    found, _ = steps(wrap(optimizers.lookahead(heavy_ball(), 3, 0.5)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_lookahead_passes_extra_arguments_on():
    def inner():
        return optax.chain(heavy_ball(), optax.contrib.reduce_on_plateau())

    both = optax.LookaheadParams.init_synced(START)
    theirs = optax.lookahead(inner(), 3, 0.5)
    with pytest.raises(TypeError, match='value'):
        theirs.update(START, theirs.init(both), both, value=1.0)
    steps(optimizers.lookahead(inner(), 3, 0.5), value=1.0)


def test_reset_leaves_keys_alone():
    def inner():
        return optax.chain(optax.add_noise(0.1, 0.5, 3), heavy_ball())

    both = optax.LookaheadParams.init_synced(START)
    theirs = optax.lookahead(inner(), 3, 0.5, reset_state=True)
    with pytest.raises(TypeError, match='multiply'):
        theirs.update(START, theirs.init(both), both)
    steps(optimizers.lookahead(inner(), 3, 0.5, buffer_policy='reset'))


def test_reset_leaves_the_schedule_alone():
    def counts(tx, params):
        state, seen = tx.init(params), []
        for _ in range(8):
            seen.append(int(optax.tree.get_all_with_path(state, 'count')[-1][1]))
            _, state = tx.update(START, state, params)
        return seen

    inner = optax.chain(
        optax.trace(0.9), optax.scale_by_learning_rate(lambda count: 0.1 / (1 + count))
    )
    theirs = counts(
        optax.lookahead(inner, 5, 0.5, reset_state=True), optax.LookaheadParams.init_synced(START)
    )
    assert theirs == [0, 1, 2, 3, 4, 0, 1, 2]
    assert counts(optimizers.lookahead(inner, 5, 0.5, buffer_policy='reset'), START) == list(
        range(8)
    )


def test_reset_clears_bad_momentum():
    def momentum_after_sync(tx, params):
        state = tx.init(params)
        _, state = tx.update(START * jnp.nan, state, params)
        _, state = tx.update(START, state, params)
        return optax.tree.get(state, 'trace')

    both = optax.LookaheadParams.init_synced(START)
    assert bool(
        jnp.isnan(
            momentum_after_sync(optax.lookahead(heavy_ball(), 2, 0.5, reset_state=True), both)
        ).all()
    )
    ours = momentum_after_sync(
        optimizers.lookahead(heavy_ball(), 2, 0.5, buffer_policy='reset'), START
    )
    np.testing.assert_array_equal(ours, 0)


def test_infinite_fast_updates_stay_out_of_the_slow_weights():
    bad = jnp.array([jnp.inf, 1.0])
    both = optax.LookaheadParams.init_synced(START)
    theirs = optax.lookahead(heavy_ball(), 3, 0.5)
    updates, _ = theirs.update(bad, theirs.init(both), both)
    assert bool(jnp.isnan(updates.slow[0]))
    ours = optimizers.lookahead(heavy_ball(), 3, 0.5)
    updates, state = ours.update(bad, ours.init(START), START)
    np.testing.assert_array_equal(
        optimizers.slow_params(state, optax.apply_updates(START, updates)), START
    )


def test_fast_and_slow_weights_meet_exactly():
    """optax's differ by rounding after a synchronisation, half of bfloat16 weights visibly."""
    params = jax.random.normal(jax.random.key(0), (1000,), jnp.bfloat16)
    both = optax.LookaheadParams.init_synced(params)
    theirs = optax.lookahead(optax.sgd(0.3), 1, 0.3)
    updates, _ = theirs.update(params, theirs.init(both), both)
    after = optax.apply_updates(both, updates)
    assert bool((after.fast != after.slow).any())
    after, state = steps(optimizers.lookahead(optax.sgd(0.3), 1, 0.3), 1, params)
    np.testing.assert_array_equal(after, state.slow)


def noise_of(tx, params):
    return tx.update(jnp.zeros_like(params), tx.init(params), params)[0]


def test_replicas_of_a_cohort_have_their_own_noise():
    replicas = jnp.zeros((2, 5))
    theirs = jax.vmap(lambda p: noise_of(optax.noisy_sgd(0.1, key=0), p))(replicas)
    np.testing.assert_array_equal(theirs[0], theirs[1])

    tx = optax.chain(optimizers.gradient_noise(), optax.sgd(0.1))
    state = jax.vmap(tx.init)(replicas)
    state = optax.tree.set(state, seed=jnp.arange(2, dtype=jnp.uint32))
    by_state, _ = jax.vmap(tx.update)(replicas, state, replicas)

    def ours(seed, p):
        return noise_of(optax.chain(optimizers.gradient_noise(seed=seed), optax.sgd(0.1)), p)

    np.testing.assert_array_equal(by_state, jax.vmap(ours)(jnp.arange(2), replicas))
    assert float(jnp.abs(by_state[0] - by_state[1]).min()) > 0


def test_shards_do_not_repeat_their_noise():
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))

    def local(tx):
        return jax.jit(
            jax.shard_map(
                lambda p: noise_of(tx, p), mesh=mesh, in_specs=P('data'), out_specs=P('data')
            )
        )

    theirs = local(optax.noisy_sgd(0.1, key=0))(jnp.zeros(16))
    assert len(np.unique(theirs)) == 2
    ours = local(optimizers.gradient_noise(axis_name='data'))(jnp.zeros(16))
    assert len(np.unique(ours)) == 16


def test_noise_state_is_plain_data():
    with pytest.raises(TypeError):
        flax.serialization.to_bytes(optax.add_noise(0.1, 0.5, 3).init(START))
    tx = optimizers.gradient_noise(seed=3)
    _, state = tx.update(START, tx.init(START))
    restored = flax.serialization.from_bytes(tx.init(START), flax.serialization.to_bytes(state))
    np.testing.assert_array_equal(tx.update(START, state)[0], tx.update(START, restored)[0])
