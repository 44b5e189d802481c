"""The optimizers of lbexp, found by looking at its files, and small problems to run them on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp import optimizers
from lbexp.config import lookup

HOME = 'optimizer'
# An optimizer has a rate of its own or wraps one; noise is chained before one.
NOISE = 'gradient_noise'
COWCLIP = 'cowclip'  # needs the counts of the rows of its tables: matrices here
OPTIMIZERS = [
    name
    for name in lookup.names(HOME)
    if {'learning_rate', 'inner', 'tx'} & set(lookup.parameters(lookup.find(HOME, name)))
    or name == NOISE
]
every_optimizer = pytest.mark.parametrize('name', OPTIMIZERS)


def make(name, rate=0.05, **arguments):
    """The optimizer with its defaults, around heavy ball if it is a wrapper."""
    function = lookup.find(HOME, name)
    if name == NOISE:
        rate = arguments.pop('learning_rate', rate)
        kind = 'diagonal_fisher' if 'decay' in arguments else 'isotropic'
        return optax.chain(function(kind, **arguments), optimizers.momentum(rate, momentum=0.8))
    given = {'learning_rate': rate, 'steps': 2, 'k': 2}
    for wrapped in ('inner', 'tx'):
        if wrapped in lookup.parameters(function):
            given[wrapped] = optimizers.momentum(arguments.pop('learning_rate', rate), momentum=0.8)
    given |= arguments
    if name == COWCLIP:
        given['tables'] = 'matrices'
    tx = function(**{k: v for k, v in given.items() if k in lookup.parameters(function)})
    return counted(tx) if name == COWCLIP else tx


def counted(tx):
    """The optimizer, given 0, 1, 2, 3, 0, ... as the counts of the rows of every parameter."""

    def update(updates, state, params=None, **extra):
        counts = {}
        for path, leaf in jax.tree.leaves_with_path(params):
            name = jax.tree_util.keystr(path, simple=True, separator='/')
            counts[name] = jnp.arange(len(leaf) if leaf.ndim else 1) % 4
        return tx.update(updates, state, params, row_counts=counts, **extra)

    return optax.GradientTransformationExtraArgs(tx.init, update)


def numbers(name):
    """Every float hyperparameter and a value for it; a wrapper's learning rate is its inner
    optimizer's."""
    found = {'learning_rate': 0.05}
    for argument, parameter in lookup.parameters(lookup.find(HOME, name)).items():
        if isinstance(parameter.default, float):
            found[argument] = parameter.default or 0.01
    return found


def weights(dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = {'kernel': (8, 4), 'bias': (4,), 'scale': ()}
    return {n: 1 + jax.random.normal(k, s).astype(dtype) for (n, s), k in zip(shapes.items(), keys)}


def slope(params, t=0):
    """Gradients that change from step to step."""
    return jax.tree.map(
        lambda w: (w - 0.3) * (1 + 0.5 * jnp.cos(t + w.size)).astype(w.dtype), params
    )


def train(tx, steps=4, params=None):
    def step(carry, t):
        params, state = carry
        updates, state = tx.update(slope(params, t), state, params)
        return (optax.apply_updates(params, updates), state), None

    params = weights() if params is None else params
    return jax.lax.scan(step, (params, tx.init(params)), jnp.arange(steps))[0]


def assert_close(found, expected, rtol=2e-5):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-7), found, expected
    )


@functools.cache
def trained(name):
    """Weights and state after four steps, all numbers plain; compiled once for several tests."""
    return jax.jit(lambda: train(make(name, **numbers(name))))()
