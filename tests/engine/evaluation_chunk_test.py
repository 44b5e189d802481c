"""Trials side by side evaluate fewer examples at once, where all would not fit."""

import jax
import jax.numpy as jnp

from lbexp.data.source import memory
from lbexp.engine import evaluation_chunk as chunks
from lbexp.workloads import Workload


def wide(width):
    """A workload whose metrics make an array [n, width] of float32."""

    def values(params, examples):
        return {'loss': jnp.sum(jnp.sin(jnp.outer(examples['x'], params['w'])), axis=1)}

    return Workload(
        init=lambda key: ({'w': jnp.zeros(width)}, {}),
        loss=lambda params, state, examples, key: (values(params, examples), state),
        metrics=lambda params, state, examples: values(params, examples),
        train=memory({'x': jnp.arange(4096.0)}),
    )


def chunk(width, at_once, shards=1):
    workload = wide(width)
    params, state = workload.init(jax.random.key(0))
    return chunks.evaluation_chunk(workload, params, state, at_once, shards)


def test_the_largest_array_of_all_trials_is_a_gigabyte_at_most():
    width = 2**16
    for at_once in (2, 3, 16, 100):
        size = chunk(width, at_once)
        assert at_once * size * width * 4 <= 2**30 < 2 * at_once * size * width * 4 or size == 1024
    assert chunk(2**10, 100) == 1024
    assert chunk(2**24, 64) == 1  # and no fewer


def test_one_trial_evaluates_as_many_as_ever():
    assert chunk(2**20, 1) == 1024
    assert chunk(2**20, 1, shards=3) == 1026


def test_devices_have_equal_shares():
    assert chunk(2**20, 64, shards=8) % 8 == 0
    assert chunk(2**20, 64, shards=8) == 8 * chunk(2**20, 64)
