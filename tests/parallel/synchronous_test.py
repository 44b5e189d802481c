"""Synchronous replicas are data-parallel training, with running statistics of their own."""

import jax
import numpy as np
import pytest
from replica_cases import NORMED, close, only, states_of
from training import tiny, train

from lbexp.config import lookup

pytestmark = pytest.mark.usefixtures('shared_programs')


@pytest.mark.long
def test_synchronous_replicas_are_data_parallel_training(tmp_path):
    """Batch norm of each replica: what the policy 'replica' does where devices share a batch;
    evaluation differs, as running statistics do, and is stated below."""
    fields = dict(
        workload=dict(NORMED, ghost='replica'), batch_size=32, data_parallel=4, num_rows=24
    )
    shared = train(tiny(**fields), tmp_path / 'shared')
    replicas = train(
        tiny(**fields, replicas=dict(name='synchronous', workers=4)), tmp_path / 'replicas'
    )
    names = 'step', 'examples', 'loss', 'accuracy', 'gradient_norm', 'parameter_norm', 'update_norm'
    close(only(replicas, *names), only(shared, *names), 1e-4)
    whole = train(tiny(**{**fields, 'workload': NORMED}), tmp_path / 'whole')
    assert abs(whole[-1]['loss'] - shared[-1]['loss']) > 1e-3


@pytest.mark.long
def test_running_statistics_are_each_replicas_own(tmp_path):
    """After one step from 0 and 1: (1 - rate) start + rate times the statistics of the replica's
    own examples."""
    config = tiny(
        workload=NORMED,
        batch_size=32,
        replicas=dict(name='synchronous', workers=4),
        data_parallel=2,
    )
    made, states = states_of(config)

    def tick(n):
        return np.array([n])

    start = jax.device_get(states)
    states, _ = made.segment(states, tick(1), tick(0), tick(1))
    found = jax.device_get(states.model_state['batch_stats']['BatchNorm_0']['mean'])[0]
    workload = lookup.build('workload', NORMED)
    source, kernel = workload.train, start.params['Dense_0']['kernel'][0]
    for worker in range(4):
        positions = np.arange(8, dtype=np.uint32) + 8 * worker
        images = (
            np.float64(source.draw(source.arrays, np.uint32(0), positions)['image']).reshape(8, -1)
            / 16
        )
        np.testing.assert_allclose(
            found[worker], 0.1 * (images @ kernel).mean(0), rtol=1e-4, atol=1e-6
        )
