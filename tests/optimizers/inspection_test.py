"""What one reads from states: deployed weights of every optimizer that has them, also through
NNX."""

import importlib
import pkgutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from optax import contrib

from lbexp import optimizers

FREE = {
    'schedule_free_sgd': lambda: contrib.schedule_free_sgd(0.1),
    'schedule_free_adamw': lambda: contrib.schedule_free_adamw(0.1),
    'schedule_free': lambda: contrib.schedule_free(
        optimizers.momentum(0.1, momentum=0.0), 0.1, b1=0.8
    ),
}
NESTS = {
    'bare': lambda tx: tx,
    'chain': lambda tx: optax.chain(optax.clip(10.0), tx),
    'apply_if_finite': lambda tx: optax.apply_if_finite(tx, 3),
    'accumulate': lambda tx: optimizers.accumulate(tx, 1),
    'MultiSteps': lambda tx: optax.MultiSteps(tx, 1),
}


def start():
    return {'w': jnp.array([1.0, -2.0, 3.0]), 'b': jnp.array([0.5])}


def trained(tx, params, steps=6):
    state = tx.init(params)

    def step(carry, t):
        params, state = carry
        slopes = jax.tree.map(lambda w: w * (1 + 0.3 * jnp.sin(t + w.size)), params)
        updates, state = tx.update(slopes, state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.jit(lambda: jax.lax.scan(step, (params, state), jnp.arange(steps))[0])()


def assert_trees_close(found, expected, rtol=1e-6):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol), found, expected)


@pytest.mark.parametrize('nest', NESTS)
@pytest.mark.parametrize('name', FREE)
def test_schedule_free_is_evaluated_at_its_average(name, nest):
    params, state = trained(FREE[name](), start())
    expected = contrib.schedule_free_eval_params(state, params)
    assert float(jnp.abs(expected['w'] - params['w']).max()) > 1e-3
    params, state = trained(NESTS[nest](FREE[name]()), start())
    assert_trees_close(optimizers.evaluation_params(state, params), expected, 1e-5)


def test_schedule_free_of_some_parameters_and_of_replicas():
    masked = optax.masked(FREE['schedule_free_sgd'](), {'w': True, 'b': False})
    params, state = trained(masked, start())
    found = optimizers.evaluation_params(state, params)
    np.testing.assert_array_equal(found['b'], params['b'])
    alone, free = trained(FREE['schedule_free_sgd'](), {'w': start()['w']})
    assert_trees_close({'w': found['w']}, contrib.schedule_free_eval_params(free, alone))
    stack = jax.tree.map(lambda *x: jnp.stack(x), state, state)
    twice = jax.tree.map(lambda *x: jnp.stack(x), params, params)
    found_twice = optimizers.evaluation_params(stack, twice)
    assert_trees_close(jax.tree.map(lambda x: x[1], found_twice), found)


def test_no_other_optimizer_of_optax_deploys_other_weights():
    """What optax offers as weights to evaluate is known here; a new one would have to be."""
    packages = [
        optax,
        *(importlib.import_module(f'optax.{m.name}') for m in pkgutil.iter_modules(optax.__path__)),
    ]
    named = {
        name
        for package in packages
        for name in dir(package)
        if 'eval_params' in name or 'eval_param' in name
    }
    assert named == {'schedule_free_eval_params'}


def test_the_pair_of_optax_lookahead_is_evaluated_at_the_slow_weights():
    params = optax.LookaheadParams.init_synced(start())
    tx = optax.lookahead(optax.sgd(0.1), sync_period=5, slow_step_size=0.5)
    state = tx.init(params)
    updates, state = tx.update(start(), state, params)
    params = optax.apply_updates(params, updates)
    assert_trees_close(optimizers.evaluation_params(state, params), start())


NNX = {
    'lamb': lambda: optimizers.lamb(0.1),
    'novograd': lambda: optimizers.novograd(0.1),
    'lookahead': lambda: optimizers.lookahead(optimizers.lamb(0.1), 5, buffer_policy='interpolate'),
    'ema': lambda: optimizers.ema(optimizers.lars(0.1), 0.5),
    'chain': lambda: optax.chain(optax.clip(1.0), optimizers.larc(0.1)),
    'schedule_free': lambda: contrib.schedule_free_adamw(0.1),
}


@pytest.mark.parametrize('name', NNX)
def test_states_of_nnx_optimizers_are_read_as_plain_ones(name):
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    plain = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    plain_state = NNX[name]().init(plain)
    optimizer = nnx.Optimizer(model, NNX[name](), wrt=nnx.Param)
    for _ in range(2):
        slopes = jax.tree.map(lambda w: 0.5 * w + 0.1, plain)
        state = nnx.state(model, nnx.Param)
        optimizer.update(model, jax.tree.map(lambda w: 0.5 * w + 0.1, state))
        updates, plain_state = NNX[name]().update(slopes, plain_state, plain)
        plain = optax.apply_updates(plain, updates)
    params = nnx.state(model, nnx.Param)
    found = optimizers.evaluation_params(optimizer.opt_state, params)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    expected = optimizers.evaluation_params(plain_state, plain)
    assert_trees_close(nnx.to_pure_dict(found), expected, 1e-5)
    expected = optimizers.diagnostics(plain_state, plain)
    found = optimizers.diagnostics(optimizer.opt_state, params)
    assert found.pop('layer', None) == expected.pop('layer', None)
    assert_trees_close(found, expected, 1e-5)
    if name == 'lookahead':
        assert_trees_close(
            nnx.to_pure_dict(optimizers.slow_params(optimizer.opt_state, params)),
            optimizers.slow_params(plain_state, plain),
            1e-5,
        )


@pytest.mark.parametrize('momentum', ['maintain', 'reset', 'interpolate'])
@pytest.mark.parametrize('name', ['lars', 'larc', 'lamb', 'novograd'])
def test_diagnostics_of_a_layerwise_optimizer_inside_lookahead(name, momentum):
    params = {'w': jnp.ones((3, 2)), 'v': jnp.full((2, 2), 2.0)}
    inner = getattr(optimizers, name)(0.1)
    tx = optimizers.lookahead(inner, 5, buffer_policy=momentum)
    _, state = tx.update(params, tx.init(params), params)
    _, alone = inner.update(params, inner.init(params), params)
    found, expected = optimizers.diagnostics(state, params), optimizers.diagnostics(alone, params)
    assert found.pop('slow_fast_distance') == 0 and found.pop('layer') == expected.pop('layer')
    assert_trees_close(found, expected)


def test_layers_of_zeros_and_optimizers_that_do_not_measure_weights():
    params = {'w': jnp.zeros((2, 2)), 'v': jnp.ones((2, 2))}
    tx = optimizers.lamb(0.1, weight_decay=0.0)
    _, state = tx.update({'w': jnp.zeros((2, 2)), 'v': jnp.ones((2, 2))}, tx.init(params), params)
    assert optimizers.diagnostics(state)['relative_update'].tolist()[1] == 0
    _, state = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    assert optimizers.diagnostics(state)['relative_update'].tolist()[1] == float('inf')
    both = optax.partition({'a': tx, 'b': optimizers.novograd(0.1)}, {'w': 'a', 'v': 'b'})
    _, state = both.update(params, both.init(params), params)
    found = optimizers.diagnostics(state, params)
    assert sorted(found['layer']) == ['v', 'w'] and found['trust_ratio'].shape == (2,)
    assert not {'weight_norm', 'relative_update'} & set(found)


@pytest.mark.processes
def test_modules_can_be_reloaded_in_any_order():
    """As a notebook's autoreload does."""
    program = (
        'import importlib, pkgutil, sys; import lbexp.optimizers as package\n'
        'for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):\n'
        '    importlib.import_module(module.name)\n'
        'names = [name for name in sys.modules if name.startswith(package.__name__)]\n'
        'for name in [*names, *reversed(names)]: importlib.reload(sys.modules[name])\n'
        'from lbexp import optimizers\n'
        'assert all(callable(getattr(optimizers, name)) for name in optimizers.__all__); '
        'print(len(names))'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
