"""Units in another order are found again, and the function stays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from curvature_cases import tanh_network

from lbexp.curvature import landscape
from lbexp.curvature.match_units import dense_layers, match_units

LAYERS = ('one', 'two', 'three')
WIDTHS = (6, 16, 12, 4)


def network(seed):
    params = {}
    for place, name in enumerate(LAYERS):
        kernel, bias = jax.random.split(jax.random.fold_in(jax.random.key(seed), place))
        inputs, outputs = WIDTHS[place : place + 2]
        params[name] = {
            'kernel': jax.random.normal(kernel, (inputs, outputs)) / np.sqrt(inputs),
            'bias': jax.random.normal(bias, (outputs,)),
        }
    return params


def outputs(params):
    x = jax.random.normal(jax.random.key(9), (20, 6))
    for name in LAYERS[:-1]:
        x = jnp.tanh(x @ params[name]['kernel'] + params[name]['bias'][None])
    return x @ params['three']['kernel'] + params['three']['bias'][None]


def shuffled(params):
    rng = np.random.default_rng(0)
    first, second = rng.permutation(16), rng.permutation(12)
    one, two, three = (params[name] for name in LAYERS)
    return {
        'one': {'kernel': one['kernel'][:, first], 'bias': one['bias'][first]},
        'two': {'kernel': two['kernel'][first][:, second], 'bias': two['bias'][second]},
        'three': {'kernel': three['kernel'][second], 'bias': three['bias']},
    }


def test_a_shuffle_is_undone():
    params = network(0)
    other = shuffled(params)
    np.testing.assert_allclose(outputs(other), outputs(params), atol=1e-5)
    matched = match_units(params, other, LAYERS)
    for name in LAYERS:
        for key in ('kernel', 'bias'):
            np.testing.assert_array_equal(matched[name][key], params[name][key])


def test_another_network_comes_nearer_and_stays_the_same_function():
    reference, other = network(0), network(1)
    matched = match_units(reference, other, LAYERS)
    np.testing.assert_allclose(outputs(matched), outputs(other), atol=1e-4)

    def distance(params):
        apart = jax.tree.map(lambda x, y: np.sum((np.asarray(x) - y) ** 2), reference, params)
        return sum(jax.tree.leaves(apart))

    assert distance(matched) < 0.9 * distance(other)
    half = landscape.between(reference, matched, 0.5)
    assert jax.tree.map(jnp.shape, half) == jax.tree.map(jnp.shape, reference)


def test_layers_that_do_not_follow_are_refused():
    with pytest.raises(ValueError, match='found kernels of shapes'):
        match_units(network(0), network(1), ('one', 'three'))
    with pytest.raises(ValueError, match='layers: found 1; allowed: two or more'):
        match_units(tanh_network(0), tanh_network(1), ('first',))


def test_dense_layers_come_in_the_order_of_their_numbers():
    layer = {'kernel': np.ones((2, 2)), 'bias': np.ones(2)}
    params = {'Dense_10': layer, 'Dense_9': {'kernel': np.ones((2, 2))}, 'Dense_0': layer}
    assert dense_layers(params) == ['Dense_0', 'Dense_9', 'Dense_10']


OTHERS = {
    'Conv_0': {'kernel': np.ones((3, 3, 1, 2)), 'bias': np.ones(2)},
    'BatchNorm_0': {'scale': np.ones(2), 'bias': np.ones(2)},
    'Dense_1': {'kernel': np.ones((2, 2)), 'gain': np.ones(2)},
    'after': {'kernel': np.ones((2, 2))},
    'Block_0': {'Dense_0': {'kernel': np.ones((2, 2))}},
    'scale_1': np.ones(2),
}


@pytest.mark.parametrize('name', OTHERS)
def test_a_network_with_other_layers_is_refused(name):
    params = {'Dense_0': {'kernel': np.ones((2, 2))}, name: OTHERS[name]}
    with pytest.raises(ValueError, match=f"layers: found '{name}'; allowed: dense layers"):
        dense_layers(params)


def test_parameters_without_names_are_refused():
    with pytest.raises(ValueError, match='layers: found parameters without names'):
        dense_layers([{'kernel': np.ones((2, 2))}])
