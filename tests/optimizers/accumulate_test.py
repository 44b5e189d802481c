"""Accumulation equals the optimizer on mean gradients, and optax.MultiSteps where that is right;
weight averages."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from lbexp import optimizers
from lbexp.batch_size import batch_growth
from lbexp.optimizers import accumulate, ema


def gradients(count, shape=(3,), dtype=jnp.float32):
    return jax.random.normal(jax.random.key(1), (count, *shape)).astype(dtype)


def run(tx, grads, params=None):
    """The weights after every microbatch, by lax.scan."""
    params = jnp.ones(grads.shape[1:], grads.dtype) if params is None else params

    def step(carry, grad):
        params, state = carry
        updates, state = tx.update(grad, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    return jax.jit(lambda: jax.lax.scan(step, (params, tx.init(params)), grads)[1])()


@pytest.mark.long
@pytest.mark.parametrize('steps', [1, 3, 4])
def test_equals_the_optimizer_on_mean_gradients(steps):
    grads = gradients(12)
    means = grads.reshape(12 // steps, steps, 3).mean(1)
    found = run(accumulate(optax.adam(0.1), steps), grads)
    np.testing.assert_allclose(found[steps - 1 :: steps], run(optax.adam(0.1), means), rtol=2e-5)
    before = np.concatenate([np.ones((1, 3)), found[steps - 1 :: steps][:-1]])
    between = np.asarray(found).reshape(-1, steps, 3)[:, : steps - 1]
    np.testing.assert_array_equal(between, np.repeat(before[:, None], steps - 1, 1))


def test_equals_multi_steps():
    def every(count):
        return jnp.where(count < 2, 2, 3)

    grads, tx = gradients(13), optax.sgd(lambda count: 0.1 / (1 + count), momentum=0.9)
    multi = optax.MultiSteps(tx, every).gradient_transformation()
    np.testing.assert_allclose(run(accumulate(tx, every), grads), run(multi, grads), rtol=1e-6)


def test_schedules_count_updates():
    def rate(count):
        return jnp.where(count == 0, 1.0, jnp.where(count == 1, 10.0, 100.0))

    found = run(accumulate(optax.sgd(rate), 2), jnp.ones((6, 1)))
    np.testing.assert_allclose(found[:, 0], [1, 0, 0, -10, -10, -110])


def test_steps_may_be_traced_and_differ_between_replicas():
    grads, steps = gradients(12), jnp.array([1, 2, 3, 4, 6])
    found = jax.jit(jax.vmap(lambda n: run(accumulate(optax.adam(0.1), n), grads)))(steps)
    for row, n in zip(found, steps.tolist()):
        np.testing.assert_allclose(row, run(accumulate(optax.adam(0.1), n), grads), rtol=1e-5)


def test_the_optimizer_runs_only_when_a_batch_is_complete():
    calls = []

    def update(updates, state, params=None):
        jax.debug.callback(lambda: calls.append(1))
        return updates, state

    counting = optax.GradientTransformation(lambda params: optax.EmptyState(), update)
    jax.block_until_ready(run(accumulate(counting, 4), gradients(12)))
    jax.effects_barrier()
    assert len(calls) == 3


def test_a_growing_batch_follows_its_schedule():
    """Updates happen at the data positions that batch_growth states in closed form; a resumed state
    goes on."""
    growth = batch_growth(2, (6, 20), 2.0)
    found = np.asarray(run(accumulate(optax.sgd(1.0), growth.accumulation), jnp.ones((40, 1))))[
        :, 0
    ]
    updated = np.flatnonzero(np.diff(np.concatenate([[1.0], found]))) + 1
    assert updated.tolist() == [int(growth.position(c)) for c in range(1, len(updated) + 1)]
    assert np.diff(updated).tolist() == [2, 2, 4, 4, 4, 4, 8, 8]


def test_float64_means_are_not_rounded_to_float32():
    """optax.MultiSteps keeps its mean in float32 whatever the gradients are."""
    with jax.enable_x64(True):
        grads = jnp.array([[0.1], [0.3]])
        errors = [
            abs(float(run(tx, grads)[-1, 0]) - 0.8)
            for tx in (
                accumulate(optax.sgd(1.0), 2),
                optax.MultiSteps(optax.sgd(1.0), 2).gradient_transformation(),
            )
        ]
        assert errors[0] < 1e-15 < 1e-10 < errors[1]


def test_a_bad_microbatch_spoils_its_own_update_only():
    """apply_if_finite inside drops it. In optax.MultiSteps the NaN stays in the mean for ever: 0 *
    NaN."""
    grads = jnp.ones((6, 1)).at[0].set(jnp.nan)
    safe = optax.apply_if_finite(optax.sgd(0.1), 5)
    np.testing.assert_allclose(run(accumulate(safe, 2), grads)[-1], 0.8, rtol=1e-6)
    multi = optax.MultiSteps(safe, 2).gradient_transformation()
    np.testing.assert_array_equal(run(multi, grads)[-1], 1.0)


def test_bfloat16_gradients_are_averaged_in_float32():
    grads = jnp.concatenate([jnp.full((1, 1), 384.0), jnp.ones((255, 1))]).astype(jnp.bfloat16)
    tx = accumulate(optax.identity(), 256)
    state = tx.init(grads[0])
    assert state.mean.dtype == jnp.float32
    update = jax.jit(tx.update)
    for grad in grads:
        mean, state = update(grad, state)
    assert mean.dtype == jnp.bfloat16
    assert float(mean[0]) == 2.5  # 2.496


def test_works_inside_shard_map():
    mesh = jax.make_mesh((4,), ('data',), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    tx = accumulate(optax.sgd(0.1, momentum=0.9), 2)

    def local(params, state, grads):
        for _ in range(2):
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        return params

    params, grads = jnp.ones(8), jnp.arange(8.0)
    spec = jax.tree.map(lambda x: P('data') if x.ndim else P(), tx.init(params))
    mapped = jax.shard_map(
        local, mesh=mesh, in_specs=(P('data'), spec, P('data')), out_specs=P('data')
    )
    np.testing.assert_allclose(
        jax.jit(mapped)(params, tx.init(params), grads), 1 - 0.1 * grads, rtol=1e-6
    )


def test_accumulate_errors():
    with pytest.raises(ValueError, match=r'^steps: found 0; allowed: an integer >= 1, a function$'):
        accumulate(optax.sgd(0.1), 0)


@pytest.mark.parametrize('decay', [0.0, 0.5, 0.9999, 1.0])
def test_ema_is_the_bias_corrected_mean(decay):
    grads = gradients(9)
    weights = np.asarray(run(optax.sgd(0.1), grads), np.float64)
    tx = ema(optax.sgd(0.1), decay)
    params, state = jnp.ones(3), tx.init(jnp.ones(3))
    np.testing.assert_array_equal(optimizers.evaluation_params(state, params), params)
    for t, grad in enumerate(grads, 1):
        updates, state = tx.update(grad, state, params)
        params = optax.apply_updates(params, updates)
        powers = decay ** np.arange(t - 1, -1, -1.0)
        expected = (powers[:, None] * weights[:t]).sum(0) / powers.sum()
        np.testing.assert_allclose(optimizers.evaluation_params(state, params), expected, rtol=5e-6)
        np.testing.assert_allclose(params, weights[t - 1], rtol=1e-6)


def test_ema_of_bfloat16_weights_does_not_stall():
    """A float32 average moves by 1e-3 of a step, which bfloat16 could not; it is evaluated in the
    weights' dtype."""
    params = jnp.ones(2, jnp.bfloat16)
    tx = ema(optax.identity(), 0.999)
    state = tx.init(params)
    update = jax.jit(tx.update)
    for _ in range(200):
        _, state = update(jnp.zeros_like(params), state, params)
    for _ in range(200):
        _, state = update(jnp.zeros_like(params), state, 2 * params)
    expected = 2 - (1 - 0.999**200) * 0.999**200 / (1 - 0.999**400)
    np.testing.assert_allclose(state.average, expected, rtol=1e-4)
    assert optimizers.evaluation_params(state, params).dtype == jnp.bfloat16


def test_ema_inside_and_outside_accumulation_count_updates():
    grads = gradients(8)
    inside = accumulate(ema(optax.sgd(0.1), 0.5), 2)
    params, state = jnp.ones(3), inside.init(jnp.ones(3))
    for grad in grads:
        updates, state = inside.update(grad, state, params)
        params = optax.apply_updates(params, updates)
    weights = np.asarray(run(optax.sgd(0.1), grads.reshape(4, 2, 3).mean(1)))
    powers = 0.5 ** np.arange(3, -1, -1.0)
    expected = (powers[:, None] * weights).sum(0) / powers.sum()
    np.testing.assert_allclose(optimizers.evaluation_params(state, params), expected, rtol=1e-5)
    with pytest.raises(ValueError, match='params'):
        ema(optax.sgd(0.1)).update(grads[0], ema(optax.sgd(0.1)).init(params))
