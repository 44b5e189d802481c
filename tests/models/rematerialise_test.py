"""Networks that compute activations again for their gradient: the same numbers, and less kept."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.inputs import Input
from lbexp.models._linen import linen_network
from lbexp.models.lstm import lstm
from lbexp.models.resnet import ResNet, resnet

PICTURE = {'image': Input('image', (8, 8, 3), 'float32')}
ROWS = {
    'tokens': Input('tokens', (12,), 'int32', vocabulary=(11,)),
    'segments': Input('tokens', (12,), 'int32'),
}


def small_resnet(rematerialise):
    module = ResNet(((4, 2), (6, 2)), 5, 4, rematerialise)
    return linen_network(module, PICTURE, 4)


# function of `rematerialise` to a network, and the most that it may keep of what it kept
NETWORKS = {
    'resnet': (small_resnet, 0.25),
    'lstm': (lambda again: lstm(8, 16, rematerialise=again).network(ROWS, 11), 0.7),
}


def arrays_of(name):
    generator = np.random.default_rng(0)
    if name == 'resnet':
        return {'image': jnp.asarray(generator.standard_normal((8, 8, 8, 3), np.float32))}
    tokens = generator.integers(0, 11, (8, 12), np.int32)
    return {'tokens': jnp.asarray(tokens), 'segments': jnp.asarray(1 + (tokens > 5).cumsum(1))}


def loss(network, arrays, state, params):
    outputs, new_state = network.apply(params, state, arrays, True, jax.random.key(1))
    return jnp.square(outputs - 1).sum(), new_state


@pytest.mark.parametrize('name', NETWORKS)
def test_it_computes_the_same_and_keeps_less(name):
    make, share = NETWORKS[name]
    params, state = make(False).init(jax.random.key(0))
    again, _ = make(True).init(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, again, params)
    results, kept = [], []
    for rematerialise in (False, True):
        of_params = functools.partial(loss, make(rematerialise), arrays_of(name), state)
        results.append(jax.jit(jax.value_and_grad(of_params, has_aux=True))(params))
        # What a backward pass needs is what its function holds.
        _, backward, _ = jax.eval_shape(functools.partial(jax.vjp, of_params, has_aux=True), params)
        held = jax.tree.leaves(backward)
        kept.append(sum(leaf.size * leaf.dtype.itemsize for leaf in held))
    compare = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(compare, results[1], results[0])
    assert kept[1] < share * kept[0]


def test_a_resnet_has_the_same_parameters_either_way():
    """So that the weights of one are those of the other."""
    shapes = []
    for rematerialise in (False, True):
        network = resnet(20, rematerialise=rematerialise).network(PICTURE, 5)
        shapes.append(jax.eval_shape(network.init, jax.random.key(0)))
    assert shapes[0] == shapes[1] and '_Block_8' in shapes[0][0]
