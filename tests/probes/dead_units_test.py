"""Units that are off for every example, against their activations; and windows that end at rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probe_updates import update_info
from training import tiny, train

from lbexp.models.mlp import MLP
from lbexp.probes.dead_units import dead_units

pytestmark = pytest.mark.usefixtures('shared_programs')


def test_they_are_those_that_no_example_switches_on():
    """Against activations in float64; a unit that is on, whose outputs reach nothing, is dead."""
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((40, 6))
    model = MLP((12, 5), 3)
    images = jnp.asarray(inputs, 'float32')
    params = model.init(jax.random.key(0), images, False)['params']
    params = jax.tree.map(np.array, params)
    # Some never on, some on for few examples.
    params['Dense_0']['bias'] = np.linspace(-4, 0.5, 12).astype('f4')
    params['Dense_1']['bias'] = np.array([-50, 0, 0, 0, -50], 'f4')
    params['Dense_1']['kernel'][3] = 0  # the loss does not hear unit 3

    def loss(params):
        outputs = model.apply({'params': params}, images, False)
        return jnp.mean(jnp.square(outputs))

    part = dead_units()
    info = update_info(1, params, grads=jax.grad(loss)(params), is_row=True)
    row = part.summary(part.update(part.init(info), info))

    first = inputs @ params['Dense_0']['kernel'] + params['Dense_0']['bias']
    second = np.maximum(first, 0) @ params['Dense_1']['kernel'] + params['Dense_1']['bias']
    alive = (first > 0).any(0) & (np.arange(12) != 3)
    dead = [np.sum(~alive), np.sum(~(second > 0).any(0))]
    assert 0 < dead[0] < 12 and dead[1] == 2
    np.testing.assert_allclose(row['dead_units/Dense_0/kernel'], dead[0] / 12, rtol=1e-6)
    np.testing.assert_allclose(row['dead_units/Dense_1/kernel'], 2 / 5, rtol=1e-6)
    assert row['dead_units/Dense_2/kernel'] == 0
    np.testing.assert_allclose(row['dead_units'], sum(dead) / 20, rtol=1e-6)


def gradients(*alive_units):
    """Of a kernel [2, 4] and of two stacked ones [2, 2, 4]: of these units alone."""
    kernel = np.zeros((2, 4), 'f4')
    kernel[1, list(alive_units)] = 1e-30
    return {'kernel': jnp.asarray(kernel), 'stack': jnp.stack([0 * kernel, kernel])}


def test_a_row_is_of_the_updates_since_the_last_one():
    params = {'kernel': jnp.ones((2, 4)), 'stack': jnp.ones((2, 2, 4))}
    part = dead_units(stacked_axes={'stack': 1})
    state = part.init(update_info(0, params))
    shares = []
    for step, units in enumerate([(0,), (0, 1), (3,), ()], start=1):
        info = update_info(step, params, grads=gradients(*units), is_row=step % 2 == 0)
        state = part.update(state, info)
        row = part.summary(state)
        shares.append(float(row['dead_units/kernel']))
        np.testing.assert_array_equal(row['dead_units/stack'], [1, shares[-1]])
    assert shares == [0.75, 0.5, 0.75, 0.75]


def test_what_has_no_units_is_refused():
    params = {'kernel': jnp.ones((2, 4)), 'bias': jnp.ones(4)}
    with pytest.raises(ValueError, match='layers: found bias, a vector'):
        dead_units('all').init(update_info(0, params))
    with pytest.raises(ValueError, match="layers: found 'none'"):
        dead_units('none').init(update_info(0, params))


def test_a_large_rate_kills_units_of_a_run(tmp_path):
    fields = dict(workload=dict(name='digits_mlp', hidden=(32,)), probes=(dict(name='dead_units'),))
    shares = []
    for rate in (0.01, 30.0):
        optimizer = dict(name='sgd', learning_rate=rate)
        rows = train(tiny(optimizer=optimizer, **fields), tmp_path / str(rate))
        shares.append(rows[-1]['dead_units/Dense_0/kernel'])
    assert shares[0] < 0.1 and 0.3 < shares[1] <= 1
