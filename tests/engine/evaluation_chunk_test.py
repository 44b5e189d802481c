"""Trials side by side, and large networks, evaluate fewer examples at once, where all would not
fit."""

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
    return of(wide(width), {'w': jnp.zeros(width)}, at_once, shards)


def of(workload, params, at_once=1, shards=1):
    sources = [workload.train]
    return chunks.evaluation_chunk(workload.metrics, sources, params, {}, at_once, shards)


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


def test_a_large_network_makes_a_quarter_of_its_parameters_at_most():
    """2^24 numbers make an array as large as the parameters of each example: one is the least."""
    assert chunk(2**24 - 1, 1) == 1024
    assert chunk(2**24, 1) == 1
    workload = wide(2**10)
    params = {'w': jnp.zeros(2**10), 'others': jnp.zeros(2**24)}  # 64 MB
    sizes = [of(workload, params, shards=shards) for shards in (1, 2)]
    assert sizes == [1024, 1024]  # 4 MB are made
    params['others'] = jnp.zeros(2**24 - 2**10)
    workload = wide(2**14)
    assert of(workload, params | {'w': jnp.zeros(2**14)}) == 256


def test_devices_have_equal_shares():
    assert chunk(2**20, 64, shards=8) % 8 == 0
    assert chunk(2**20, 64, shards=8) == 8 * chunk(2**20, 64)
