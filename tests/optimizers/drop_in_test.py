"""Every optimizer takes the place of an optax one in other people's training loops, whose code does
not change."""

import functools
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from breadth import param
from flax import nnx
from flax.training.train_state import TrainState
from optimizer_cases import COWCLIP, make

from lbexp import optimizers
from lbexp.config import lookup

pytestmark = pytest.mark.usefixtures('quick_compilation')
STEPS = 5
RATES = {'novograd': 0.01}


def choices():
    """Every optimizer, wrappers around heavy ball, and noise chained before one."""
    found = {}
    for name in lookup.names('optimizer'):
        function = lookup.find('optimizer', name)
        takes = lookup.parameters(function)
        if 'learning_rate' in takes:
            found[name] = functools.partial(function, learning_rate=RATES.get(name, 0.1))
    found[COWCLIP] = functools.partial(make, COWCLIP, 0.1)

    def inner():
        return optimizers.momentum(0.1)

    return found | {
        'lookahead': lambda: optimizers.lookahead(inner(), k=2, buffer_policy='interpolate'),
        'ema': lambda: optimizers.ema(inner(), 0.9),
        'accumulate': lambda: optimizers.accumulate(inner(), 2),
        'gradient_noise': lambda: optax.chain(optimizers.gradient_noise(seed=1), inner()),
    }


CHOICES = choices()
every_choice = pytest.mark.parametrize('name', CHOICES)
# The states of these are like those of others.
LIKE_OTHERS = ('sgd', 'adamw', 'lars', 'larc')
every_state = pytest.mark.parametrize(
    'name', [param(name, default=name not in LIKE_OTHERS) for name in CHOICES]
)


def data():
    x = jax.random.normal(jax.random.key(0), (32, 3))
    return x, x @ jnp.array([[1.0, -1.0], [0.5, 2.0], [0.0, 1.0]]) + 0.5


def start():
    return {'kernel': jax.random.normal(jax.random.key(1), (3, 2)), 'bias': jnp.ones((2,))}


def predict(params, x):
    return x @ params['kernel'] + jnp.broadcast_to(params['bias'], (len(x), 2))


def error(params):
    x, y = data()
    return jnp.mean((predict(params, x) - y) ** 2)


@functools.cache
def bare_loop(name):
    tx = CHOICES[name]()

    @jax.jit
    def step(params, opt_state):
        updates, opt_state = tx.update(jax.grad(error)(params), opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    params, opt_state = start(), tx.init(start())
    for _ in range(STEPS):
        params, opt_state = step(params, opt_state)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(params))
    assert error(params) < error(start())
    return params


def assert_as_bare_loop(name, params):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), params, bare_loop(name)
    )


@every_choice
def test_flax_train_state(name):
    state = TrainState.create(apply_fn=predict, params=start(), tx=CHOICES[name]())
    step = jax.jit(lambda state: state.apply_gradients(grads=jax.grad(error)(state.params)))
    for _ in range(STEPS):
        state = step(state)
    assert_as_bare_loop(name, state.params)
    evaluated = optimizers.evaluation_params(state.opt_state, state.params)
    assert jax.tree.structure(evaluated) == jax.tree.structure(state.params)


@every_state
def test_nnx_optimizer(name):
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    model.kernel.set_value(start()['kernel'])
    model.bias.set_value(start()['bias'])
    optimizer = nnx.Optimizer(model, CHOICES[name](), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        x, y = data()

        def loss(model):
            return jnp.mean(
                (predict({'kernel': model.kernel[...], 'bias': model.bias[...]}, x) - y) ** 2
            )

        optimizer.update(model, nnx.grad(loss)(model))

    for _ in range(STEPS):
        step(model, optimizer)
    if name == 'gradient_noise':  # noise is drawn in the order of the leaves, which nnx sorts
        return
    assert_as_bare_loop(name, {'kernel': model.kernel[...], 'bias': model.bias[...]})


@every_state
def test_equinox(name):
    class Model(eqx.Module):
        bias: jax.Array
        kernel: jax.Array
        activation: object = eqx.field(static=True)

        def __call__(self, x):
            return self.activation(predict({'kernel': self.kernel, 'bias': self.bias}, x))

    tx, model = CHOICES[name](), Model(**start(), activation=lambda y: y)
    opt_state = tx.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(model, opt_state):
        x, y = data()
        grads = eqx.filter_grad(lambda model: jnp.mean((model(x) - y) ** 2))(model)
        updates, opt_state = tx.update(grads, opt_state, eqx.filter(model, eqx.is_inexact_array))
        return eqx.apply_updates(model, updates), opt_state

    for _ in range(STEPS):
        model, opt_state = step(model, opt_state)
    assert_as_bare_loop(name, {'kernel': model.kernel, 'bias': model.bias})


@pytest.mark.processes
def test_importing_the_optimizers_loads_jax_and_optax_alone():
    """To whatever `import optax` loads, `from lbexp import optimizers` adds lbexp's own, and one of
    annotations."""
    program = (
        'import sys, optax; before = set(sys.modules); from lbexp import optimizers; '
        'print(*sorted(m for m in set(sys.modules) - before))'
    )
    loaded = subprocess.run(
        [sys.executable, '-c', program], check=True, capture_output=True, text=True
    ).stdout.split()
    packages = {m.partition('.')[0] for m in loaded} - set(sys.stdlib_module_names)
    assert 'lbexp' in packages and packages <= {'lbexp', 'optax', 'jax', 'annotated_types'}
    ours = {m for m in loaded if m.startswith('lbexp.')}
    own = (
        'lbexp.optimizers',
        'lbexp.ranges',
        'lbexp.annotations',
        'lbexp.precision',
        'lbexp.errors',
        'lbexp.wording',
    )
    assert all(m.startswith(own) for m in ours)
    program = 'import sys; from lbexp import optimizers; print(*sys.modules)'
    loaded = subprocess.run(
        [sys.executable, '-c', program], check=True, capture_output=True, text=True
    ).stdout.split()
    foreign = {
        'flax',
        'tensorflow',
        'tensorflow_datasets',
        'grain',
        'orbax',
        'ml_collections',
        'equinox',
        'plotly',
    }
    assert not foreign & {m.partition('.')[0] for m in loaded}
