"""Squares of single examples' gradients, against the gradients themselves in float64."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.models import _ghost_norms as ghost_norms
from lbexp.models.cnn import Conv3x3

pytestmark = pytest.mark.usefixtures('quick_compilation')
COUNT = 6


class Dense(nn.Module):
    """Rows of each example; few, whose inner products are smaller, or many."""

    rows: int = 1

    @nn.compact
    def __call__(self, x):
        x = x.reshape(len(x), self.rows, -1)
        x = nn.tanh(nn.Dense(5)(x))
        return nn.Dense(1, use_bias=False)(x).sum((1, 2))


class Tokens(nn.Module):
    @nn.compact
    def __call__(self, x):
        ids = jnp.argsort(x, axis=1) // 3  # each several times
        x = nn.Embed(4, 3)(ids)
        return nn.Dense(1)(nn.tanh(x.sum(1)))[:, 0]


class Pictures(nn.Module):
    stride: int

    @nn.compact
    def __call__(self, x):
        x = Conv3x3(4, stride=self.stride)(x.reshape(len(x), 3, 4, 1))
        return nn.Dense(1)(nn.tanh(x).reshape(len(x), -1))[:, 0]


class Shared(nn.Module):
    """A layer that is called twice, of which one alone says too little."""

    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(12)
        return nn.Dense(1)(layer(nn.tanh(layer(x))))[:, 0]


class Tied(nn.Module):
    """An embedding that is the output layer, too."""

    @nn.compact
    def __call__(self, x):
        table = nn.Embed(4, 3)
        h = nn.Dense(3)(nn.tanh(table(jnp.argsort(x, axis=1) // 3).sum(1)))
        return table.attend(h).max(1)


class Borrowed(nn.Module):
    """A layer whose kernel is used without it."""

    @nn.compact
    def __call__(self, x):
        layer = nn.Dense(12)
        h = nn.tanh(layer(x))

        def step(h, _):
            return nn.tanh(h @ layer.variables['params']['kernel']), None

        return nn.Dense(1)(jax.lax.scan(step, h, None, 3)[0])[:, 0]


class Rematerialised(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(nn.LayerNorm()(nn.tanh(nn.remat(nn.Dense)(7)(x))))[:, 0]


class InTheScan(nn.Module):
    """flax.linen.scan over layers that share their weights."""

    @nn.compact
    def __call__(self, x):
        def body(module, h, _):
            return nn.tanh(module(h)), None

        layers = nn.scan(body, variable_broadcast='params', split_rngs={'params': False}, length=3)
        return nn.Dense(1)(layers(nn.Dense(12), x, None)[0])[:, 0]


MODULES = [
    pytest.param(Dense(), {'Dense_0', 'Dense_1'}, id='one row'),
    pytest.param(Dense(rows=2), {'Dense_0', 'Dense_1'}, id='two rows'),
    pytest.param(Dense(rows=6), {'Dense_0', 'Dense_1'}, id='six rows'),
    pytest.param(Tokens(), {'Embed_0', 'Dense_0'}, id='Tokens'),
    pytest.param(Pictures(1), {'Conv3x3_0', 'Dense_0'}, id='pictures'),
    pytest.param(Pictures(2), {'Conv3x3_0', 'Dense_0'}, id='stride'),
    pytest.param(Shared(), {'Dense_1'}, id='Shared'),
    pytest.param(Tied(), {'Dense_0'}, id='Tied'),
    pytest.param(Borrowed(), {'Dense_1'}, id='Borrowed'),
    pytest.param(Rematerialised(), {'Dense_0'}, id='Rematerialised'),
    pytest.param(InTheScan(), {'Dense_0'}, id='InTheScan'),
]


@pytest.mark.parametrize('module, _', MODULES)
def test_squares_are_those_of_the_gradients(module, _):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, z = jnp.asarray(rng.normal(size=(COUNT, 12))), jnp.asarray(rng.uniform(size=COUNT))
        params = module.init(jax.random.key(0), x)['params']
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)

        def losses(params):
            return z * jnp.square(module.apply({'params': params}, x) - 1)

        def alone(params, place):
            return losses_of(params, x[place][None], z[place])[0]

        def losses_of(params, x, z):
            return z * jnp.square(module.apply({'params': params}, x) - 1)

        @jax.jit
        def both(params):
            ghosts = ghost_norms.gradient_and_squares(losses, params, COUNT, alone)
            return *ghosts, jax.jacrev(losses)(params)

        mean, squares, by_example = both(params)
        expected = jax.tree.map(
            lambda g: float((g**2).reshape(COUNT, -1).sum(1).mean()), by_example
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), squares, expected)
        means = jax.tree.map(lambda g: g.mean(0), by_example)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), mean, means)


@pytest.mark.parametrize('module, seen', MODULES)
def test_what_is_called_once_on_all_examples_is_seen_through(module, seen):
    x = jnp.ones((COUNT, 12))
    params = module.init(jax.random.key(0), x)['params']

    def losses(params):
        return module.apply({'params': params}, x)

    layers = ghost_norms._layers(losses, params, COUNT)
    assert {path[0] for path in layers} == seen


def test_what_sees_one_example_of_a_map_is_not_seen_through():
    """Its first axis has as many entries as there are examples, and is another."""
    module = nn.Dense(1)
    x = jax.random.normal(jax.random.key(1), (COUNT, COUNT, 3))
    params = module.init(jax.random.key(0), x)['params']

    def loss(params, one):
        return jnp.square(module.apply({'params': params}, one)).sum()

    def losses(params):
        return jax.vmap(loss, (None, 0))(params, x)

    def alone(params, place):
        return loss(params, x[place])

    assert not ghost_norms._layers(losses, params, COUNT)
    _, squares = ghost_norms.gradient_and_squares(losses, params, COUNT, alone)
    by_example = jax.jacrev(losses)(params)
    expected = jax.tree.map(lambda g: (g**2).reshape(COUNT, -1).sum(1).mean(), by_example)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), squares, expected)
