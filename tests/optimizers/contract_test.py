"""What every optimizer keeps to, found by looking at the files of lbexp/optimizers."""

import pickle

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from optimizer_cases import (
    HOME,
    NOISE,
    OPTIMIZERS,
    assert_close,
    every_optimizer,
    make,
    numbers,
    slope,
    train,
    trained,
    weights,
)

from lbexp import optimizers
from lbexp.config import lookup

pytestmark = pytest.mark.usefixtures('quick_compilation')


def is_masked(x):
    return isinstance(x, optax.MaskedNode)


def test_the_known_optimizers_are_found_and_exported():
    known = {
        'accumulate',
        'adamw',
        'cowclip',
        'ema',
        NOISE,
        'lamb',
        'larc',
        'lars',
        'lookahead',
        'momentum',
        'novograd',
        'sgd',
    }
    assert known <= set(OPTIMIZERS)
    for name in OPTIMIZERS:
        assert name in optimizers.__all__
        assert getattr(optimizers, name, None) is lookup.find(HOME, name)
    assert sorted(optimizers.__all__) == list(optimizers.__all__)


@every_optimizer
def test_numbers_out_of_their_range_are_refused_by_name(name):
    """Where they can be seen; a NumPy or traced number of the right kind passes, as the other tests
    show."""
    fractions = {'momentum', 'b1', 'b2', 'decay', 'slow_step_size', 'alpha_low', 'curvature_decay'}
    for argument in numbers(name):
        for found in (-0.5, float('nan'), *([1.5] if argument in fractions else [])):
            with pytest.raises(ValueError, match=f'^{argument}: found {found}; allowed: a number '):
                make(name, **{argument: found})


@pytest.mark.long
@every_optimizer
def test_vmaps_over_each_number_and_equals_the_loop(name):
    """Row i of a cohort has its i-th number scaled; each equals its own run, and row 0 that with
    Python numbers."""
    base = numbers(name)
    rows = np.tile(np.array(list(base.values()), np.float32), (len(base) + 1, 1))
    rows[1:] *= 1 - 0.3 * np.eye(len(base), dtype=np.float32)

    def final(row):
        return train(make(name, **dict(zip(base, row))))[0]

    cohort = jax.jit(jax.vmap(final))(rows)
    alone = jax.jit(final)
    for i, row in enumerate(rows):
        assert_close(jax.tree.map(lambda x, i=i: x[i], cohort), alone(row))
    assert_close(alone(rows[0]), trained(name)[0], 1e-4)
    moved = [
        float(jnp.abs(cohort['kernel'][i] - cohort['kernel'][0]).max()) for i in range(1, len(rows))
    ]
    assert moved[0] > 1e-6, 'the learning rate has an effect'


@every_optimizer
@pytest.mark.parametrize('dtype', ['float64', 'float32', 'bfloat16'])
def test_keeps_dtypes_shapes_and_weak_types(name, dtype):
    """So a second step compiles nothing new and a scan accepts the state."""
    with jax.enable_x64(dtype == 'float64'):
        tx, params = make(name), weights(jnp.dtype(dtype))
        state = jax.eval_shape(tx.init, params)
        updates, new_state = jax.eval_shape(tx.update, slope(params), state, params)

        def kind(x):
            return (x.shape, x.dtype, x.weak_type)

        assert jax.tree.map(kind, new_state) == jax.tree.map(kind, state)
        assert jax.tree.map(lambda u: (u.shape, u.dtype), updates) == jax.tree.map(
            lambda w: (w.shape, w.dtype), params
        )
        wrong = [
            x.dtype for x in jax.tree.leaves(state) if dtype != 'float64' and x.dtype == jnp.float64
        ]
        assert not wrong


@every_optimizer
def test_compiles_once(name):
    tx, params = make(name, **numbers(name)), weights()
    state, update = tx.init(params), jax.jit(lambda g, s, p, **extra: tx.update(g, s, p, **extra))
    for t in range(4):
        updates, state = update(
            slope(params, t), state, params, value=jnp.float32(1.0), unknown=None
        )
        params = optax.apply_updates(params, updates)
    assert update._cache_size() == 1
    assert_close(params, trained(name)[0])


@every_optimizer
def test_none_empty_and_complex_leaves(name):
    tx = make(name, **numbers(name))
    real = weights()
    odd = {
        **real,
        'nothing': None,
        'void': {},
        'empty': jnp.zeros((0, 3)),
        'complex': jnp.ones((2, 3)) * (1 + 2j),
    }
    mixed, _ = jax.jit(lambda: train(tx, params=odd))()
    assert_close({k: mixed[k] for k in real}, trained(name)[0])
    assert mixed['nothing'] is None and mixed['empty'].shape == (0, 3)
    assert mixed['complex'].dtype == jnp.complex64 and bool(jnp.isfinite(mixed['complex']).all())
    assert float(jnp.abs(mixed['complex'] - odd['complex']).min()) > 0


@every_optimizer
def test_no_parameters_at_all(name):
    tx = make(name)
    updates, _ = tx.update({}, tx.init({}), {})
    assert updates == {}


@every_optimizer
def test_state_inherits_sharding_and_sharded_equals_unsharded(name):
    tx, params = make(name, **numbers(name)), weights()
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    place = {'kernel': P('data'), 'bias': P(), 'scale': P()}
    placed = {k: jax.device_put(w, NamedSharding(mesh, place[k])) for k, w in params.items()}
    state = tx.init(placed)
    seen = []
    optax.tree.map_params(
        tx, lambda x, p: seen.append(x.sharding == p.sharding), state, placed, is_leaf=is_masked
    )
    assert all(seen)
    found, _ = jax.jit(lambda p: train(tx, params=p))(placed)
    assert_close(found, trained(name)[0], 1e-6)
    assert found['kernel'].sharding.is_equivalent_to(placed['kernel'].sharding, 2)


@every_optimizer
def test_map_params_finds_the_parameter_shaped_state(name):
    tx, params = make(name), weights()
    state = tx.init(params)
    marked = optax.tree.map_params(
        tx, lambda x: 'params', state, transform_non_params=lambda x: 'other'
    )
    for mark, leaf in zip(jax.tree.leaves(marked), jax.tree.leaves(state), strict=True):
        assert (mark == 'params') or leaf.shape != (8, 4)
    doubled = optax.tree.map_params(tx, lambda x, p: x + p, state, params)
    assert jax.tree.structure(doubled) == jax.tree.structure(state)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


@every_optimizer
def test_state_survives_msgpack_and_pickle(name):
    _, state = trained(name)
    fresh = jax.tree.map(jnp.zeros_like, state)
    assert_same(flax.serialization.from_bytes(fresh, flax.serialization.to_bytes(state)), state)
    assert_same(pickle.loads(pickle.dumps(jax.device_get(state))), state)


@every_optimizer
def test_state_survives_orbax(name, tmp_path):
    _, state = trained(name)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / name, state)
        checkpointer.wait_until_finished()
        assert_same(
            checkpointer.restore(tmp_path / name, jax.tree.map(jnp.zeros_like, state)), state
        )


RATES = {'novograd': 1e-3, 'adamw': 1e-2, 'cowclip': 1e-2, 'lamb': 1e-2}


@every_optimizer
def test_descends_on_the_parabola_and_rosenbrock(name):
    """optax's two targets (their vectors are not adapted), and a parabola of a matrix (which
    is)."""
    start = {
        'parabola': jnp.array([-1.0, 10.0, 1.0]),
        'rosenbrock': jnp.zeros(2),
        'matrix': jnp.full((3, 2), 2.0),
    }

    def losses(w):
        x, y = w['rosenbrock']
        return {
            'parabola': jnp.sum((w['parabola'] - jnp.array([1.0, -1.0, 1.0])) ** 2),
            'rosenbrock': (1 - x) ** 2 + 100 * (y - x**2) ** 2,
            'matrix': jnp.sum((w['matrix'] - 1) ** 2),
        }

    def step(carry, _):
        params, state = carry
        gradients = jax.grad(lambda w: sum(losses(w).values()))(params)
        updates, state = tx.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    tx = make(name, RATES.get(name, 5e-4))
    (final, state), _ = jax.jit(lambda: jax.lax.scan(step, (start, tx.init(start)), length=4000))()
    before, after = losses(start), losses(optimizers.evaluation_params(state, final))
    assert after['parabola'] < 0.1 * before['parabola']
    assert after['rosenbrock'] < 0.5 * before['rosenbrock']
    assert after['matrix'] < 0.99 * before['matrix']
