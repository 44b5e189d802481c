"""Layers in blocks: the same numbers, and memory for one block at a time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp import optimizers
from lbexp.optimizers._layerwise.blocks import blocks, sequence_after


def test_blocks_cover_all_positions_once_in_order():
    arrays = [jnp.zeros(n) for n in (3, 1, 9, 2, 2, 2, 1)]
    found = blocks(arrays, size=4)
    assert [list(block) for block in found] == [[0, 1], [2], [3, 4], [5, 6]]
    assert [i for block in found for i in block] == list(range(7))
    assert blocks([]) == []


def test_arrays_split_over_a_mesh_are_one_block():
    assert blocks([jnp.zeros(4)] * 3, axis_name='data', size=4) == [range(3)]


@pytest.mark.parametrize('norm', [0.0, 1.0, np.inf, np.nan])
def test_after_keeps_the_number_and_its_type(norm):
    wait = jax.jit(lambda norm, number: sequence_after([norm], number))
    for number in (jnp.float32(0.1), jnp.bfloat16(3), jnp.full((), 1e-6, jnp.float32)):
        found = wait(jnp.full(2, norm), number)
        assert found.dtype == number.dtype
        np.testing.assert_array_equal(found, number)
    # A Python number stays weakly typed: it does not widen what it meets.
    half = jax.jit(lambda norm: jnp.ones(1, jnp.bfloat16) + sequence_after([norm], 0.5))(
        jnp.full(2, norm)
    )
    assert half.dtype == jnp.bfloat16


@pytest.mark.long
@pytest.mark.parametrize(
    'make',
    [optimizers.lamb, functools.partial(optimizers.lars, denominator='norm_of_sum')],
    ids=['lamb', 'lars'],
)
def test_blocks_change_no_bit_and_hold_one_block_in_memory(make, monkeypatch):
    draw = np.random.default_rng(0)
    params = {
        f'layer{i}': jnp.asarray(draw.standard_normal((128, 128)), jnp.float32) for i in range(16)
    }
    size, default = 128 * 128, blocks.__defaults__

    def updated(elements):
        monkeypatch.setattr(blocks, '__defaults__', (*default[:-1], elements))
        tx = make(0.1)

        def step(params, state, gradients):
            updates, state = tx.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        state = tx.init(params)
        step = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, params).compile()
        return step(
            *jax.tree.map(jnp.copy, (params, state)), params
        ), step.memory_analysis().temp_size_in_bytes

    apart, temporary = updated(size)
    together, temporary_together = updated(16 * size)
    jax.tree.map(np.testing.assert_array_equal, apart, together)
    assert temporary < 4 * 4 * size, temporary
    assert temporary_together > 15 * 4 * size
