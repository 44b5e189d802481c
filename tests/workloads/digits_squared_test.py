"""The workload of squared loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.workloads.digits_squared import digits_squared


def test_the_loss_is_half_the_squared_distance():
    workload = digits_squared(hidden=(4,), examples=20)
    assert workload.train.size == 20
    params, state = jax.device_get(workload.init(jax.random.key(0)))
    examples = workload.train.read(workload.train.arrays, jnp.arange(5))
    values, _ = workload.loss(params, state, examples, jax.random.key(1))
    pixels = np.asarray(examples['image']).reshape(5, 64) / 16
    hidden = np.tanh(pixels @ params['Dense_0']['kernel'] + params['Dense_0']['bias'])
    outputs = hidden @ params['Dense_1']['kernel'] + params['Dense_1']['bias']
    apart = outputs - np.eye(10)[np.asarray(examples['label'])]
    np.testing.assert_allclose(values['loss'], (apart**2).sum(axis=1) / 2, rtol=1e-5)


@pytest.mark.parametrize('examples', [0, 100_000])
def test_more_examples_than_there_are_are_refused(examples):
    with pytest.raises(ValueError, match=f'examples: found {examples}; allowed: 1 ..'):
        digits_squared(examples=examples)
