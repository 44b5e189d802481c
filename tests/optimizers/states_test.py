"""States in other people's training loops: donated, abstract, injected, on explicit meshes, in
mixed precision."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from breadth import param
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from optimizer_cases import COWCLIP, OPTIMIZERS, assert_close, counted, make, slope, weights

from lbexp import optimizers
from lbexp.config import lookup

pytestmark = pytest.mark.usefixtures('quick_compilation')
WRAPPERS = {
    'bare': lambda tx: tx,
    'lookahead': lambda tx: optimizers.lookahead(tx, 2),
    'lookahead optimal': lambda tx: optimizers.lookahead(tx, 2, slow_step_size='optimal'),
    'accumulate': lambda tx: optimizers.accumulate(tx, 2),
    'ema': optimizers.ema,
    'MultiSteps': lambda tx: optax.MultiSteps(tx, 2),
    'apply_if_finite': lambda tx: optax.apply_if_finite(tx, 3),
    'conditionally_transform': lambda tx: optax.conditionally_transform(tx, lambda step: step < 5),
    'chain': lambda tx: optax.chain(optax.clip(1.0), tx),
    'masked': lambda tx: optax.masked(tx, {'kernel': True, 'bias': False, 'scale': True}),
    'all of them': lambda tx: optax.chain(
        optax.MultiSteps(optimizers.ema(optimizers.lookahead(tx)), 2)
    ),
}
# Arguments of other types than float that make another state or another update.
VARIANTS = {
    'lars': [dict(denominator='norm_of_sum'), dict(momentum_form='average')],
    'larc': [dict(mode='scale')],
    'lamb': [dict(max_gradient_norm=1.0), dict(normalize_gradients=True, bias_correction=False)],
    'novograd': [dict(amsgrad=True, eps_inside_root=True, grad_averaging=True)],
    'lookahead': [
        dict(buffer_policy='interpolate'),
        dict(buffer_policy='reset'),
        dict(slow_step_size='optimal'),
    ],
    'momentum': [dict(form='inside', nesterov=True)],
}
CASES = [(name, variant) for name in OPTIMIZERS for variant in ({}, *VARIANTS.get(name, []))]
every_case = pytest.mark.parametrize(('name', 'variant'), CASES, ids=str)
# What is compiled: without -m slow the variant with most parts of each optimizer.
LAST = dict(CASES)
compiled_case = pytest.mark.parametrize(
    ('name', 'variant'),
    [
        param(name, variant, default=variant == LAST[name], id=f'{name}-{variant}')
        for name, variant in CASES
    ],
)
# Every case in some wrapper and every wrapper around some case; without -m slow not all products.
WRAPPED = [
    param(name, variant, wrapper, default=(i + j) % len(WRAPPERS) < 2)
    for i, (name, variant) in enumerate(CASES)
    for j, wrapper in enumerate(WRAPPERS)
]
every_wrapped_case = pytest.mark.parametrize(('name', 'variant', 'wrapper'), WRAPPED)


def kind(x):
    return x.shape, x.dtype


@every_wrapped_case
def test_no_two_leaves_of_an_eager_state_are_one_buffer(name, variant, wrapper):
    """Nor are one of a state and one of the parameters: both may be donated."""
    params = weights()
    leaves = jax.tree.leaves((params, WRAPPERS[wrapper](make(name, **variant)).init(params)))
    places = [x.unsafe_buffer_pointer() for x in leaves if x.size]
    assert len(set(places)) == len(places)


@compiled_case
def test_trains_in_a_loop_that_donates(name, variant):
    tx, params = optimizers.lookahead(make(name, **variant), 2), weights()
    state = tx.init(params)

    def step(params, state):
        updates, state = tx.update(slope(params), state, params)
        return optax.apply_updates(params, updates), state

    donating = jax.jit(step, donate_argnums=(0, 1))
    for _ in range(2):
        params, state = donating(params, state)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(params))


@every_wrapped_case
def test_abstract_parameters_have_a_state_of_the_same_shapes(name, variant, wrapper):
    tx, params = WRAPPERS[wrapper](make(name, **variant)), weights()
    if wrapper not in ('MultiSteps', 'all of them'):  # optax's asks for arrays
        state = tx.init(jax.tree.map(lambda w: jax.ShapeDtypeStruct(w.shape, w.dtype), params))
        assert jax.tree.map(kind, state) == jax.tree.map(kind, tx.init(params))


@compiled_case
def test_shardings_may_be_part_of_types(name, variant):
    tx, params = make(name, **variant), weights()
    mesh = jax.make_mesh((4, 2), ('x', 'y'), axis_types=(AxisType.Explicit,) * 2)
    place = {'kernel': P('x', 'y'), 'bias': P('y'), 'scale': P()}
    expected, _ = jax.jit(tx.update)(slope(params), tx.init(params), params)
    with jax.set_mesh(mesh):
        placed = {k: jax.device_put(w, NamedSharding(mesh, place[k])) for k, w in params.items()}
        found, state = jax.jit(tx.update)(slope(placed), tx.init(placed), placed)
        assert jax.tree.map(lambda x: jax.typeof(x).sharding.spec, found) == place
        assert jax.tree.map(jax.typeof, state) == jax.tree.map(jax.typeof, tx.init(placed))
    assert_close(jax.device_get(found), jax.device_get(expected))


@pytest.mark.parametrize('name', ['lookahead', 'accumulate', 'lamb'])
def test_shardings_may_be_part_of_types_outside_compiled_programs(name):
    tx = make(name)
    mesh = jax.make_mesh((8,), ('x',), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        params = {'kernel': jax.device_put(jnp.ones((8, 2)), NamedSharding(mesh, P('x')))}
        state = tx.init(params)
        for _ in range(2):
            updates, state = tx.update(params, state, params)
    assert updates['kernel'].sharding.spec == P('x', None) and bool((updates['kernel'] != 0).all())


@compiled_case
def test_inject_hyperparams_needs_no_static_arguments(name, variant):
    if name == 'gradient_noise':  # not a chain, as `make` has it
        arguments, function = variant, optimizers.gradient_noise
    else:
        function = lookup.find('optimizer', name)
        takes = lookup.parameters(function)
        around = {'inner': optimizers.momentum(0.05, 0.8), 'tx': optimizers.momentum(0.05, 0.8)}
        given = {'learning_rate': 0.05, 'steps': 2, 'k': 2, 'tables': 'matrices'}
        given |= {**around, **variant}
        arguments = {k: v for k, v in given.items() if k in takes}
    bare, injected = function(**arguments), optax.inject_hyperparams(function)(**arguments)
    if name == COWCLIP:
        bare, injected = counted(bare), counted(injected)
    params = weights()
    expected, state = jax.jit(bare.update)(slope(params), bare.init(params), params)
    found, holding = jax.jit(injected.update)(slope(params), injected.init(params), params)
    assert_close(found, expected, 1e-4)
    assert jax.tree.map(kind, holding.inner_state) == jax.tree.map(kind, state)


def test_what_decides_shapes_is_refused_when_traced():
    tx = optax.inject_hyperparams(optimizers.lamb)(0.1, stacked_axes=1)
    with pytest.raises(
        ValueError,
        match=(
            r'^stacked_axes: found a traced '
            r"number.*static_args=\('stacked_axes',\)"
        ),
    ):
        jax.jit(tx.init)({'w': jnp.ones((2, 3))})


@every_case
def test_float32_states_stay_so_with_64_bits_enabled(name, variant):
    with jax.enable_x64(True):
        for rate in (0.05, np.float64(0.05), jnp.float64(0.05)):
            tx, params = make(name, rate, **variant), weights(jnp.float32)
            state = jax.eval_shape(tx.init, params)
            updates, new = jax.eval_shape(tx.update, slope(params), state, params)
            assert jax.tree.map(kind, new) == jax.tree.map(kind, state)
            assert {u.dtype for u in jax.tree.leaves(updates)} == {jnp.dtype('float32')}


@every_wrapped_case
def test_an_update_may_be_a_branch(name, variant, wrapper):
    """Optax's contract: update and no update have one structure, so that `lax.cond` may choose."""
    params = weights()
    tx = WRAPPERS[wrapper](make(name, **variant))

    def nothing(gradients, state, params):
        return jax.tree.map(jnp.zeros_like, gradients), state

    def chosen(pick, state):
        return jax.lax.cond(pick, tx.update, nothing, slope(params), state, params)

    jax.eval_shape(chosen, jnp.array(True), jax.eval_shape(tx.init, params))


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_multi_steps_wait_for_the_last_of_them(name):
    tx, params = optax.MultiSteps(make(name), 2), weights()
    update, state, moved = jax.jit(tx.update), tx.init(params), []
    for _ in range(4):
        updates, state = update(slope(params), state, params)
        moved.append(any(bool(u.any()) for u in jax.tree.leaves(updates)))
    assert moved == [False, name != 'accumulate', False, True]  # that one waits for two of these


@every_case
def test_half_precision_gradients_give_updates_of_the_parameters_precision(name, variant):
    tx, params = make(name, **variant), weights()
    halves = jax.tree.map(lambda g: g.astype(jnp.bfloat16), slope(params))
    state = jax.eval_shape(tx.init, params)
    updates, new = jax.eval_shape(tx.update, halves, state, params)
    assert jax.tree.map(kind, updates) == jax.tree.map(kind, params)
    assert jax.tree.map(kind, new) == jax.tree.map(kind, state)


def test_accumulated_half_precision_gradients_keep_their_mean():
    """1 and 1 / 512 have a mean that bfloat16 does not hold."""
    tx, params = optimizers.accumulate(optimizers.sgd(1.0), 2), jnp.ones(2)
    state = tx.init(params)
    for g in (1.0, 2.0**-9):
        updates, state = tx.update(jnp.full(2, g, jnp.bfloat16), state, params)
    np.testing.assert_array_equal(updates, np.full(2, -(1 + 2.0**-9) / 2, np.float32))


@compiled_case
def test_nothing_is_nan_by_design(name, variant):
    """With JAX_DEBUG_NANS a NaN stops the program, in and outside compiled ones, diagnostics
    too."""
    params = {'kernel': jnp.ones((4, 3)), 'zero': jnp.zeros((2, 2)), 'bias': jnp.zeros(3)}
    gradients = {'kernel': jnp.ones((4, 3)), 'zero': jnp.zeros((2, 2)), 'bias': jnp.zeros(3)}
    tx = make(name, **variant)
    with jax.debug_nans(True):
        state = tx.init(params)
        if not variant:
            tx.update(gradients, state, params)
        updates, state = jax.jit(tx.update)(gradients, state, params)
        optimizers.diagnostics(state, params)
        jax.jit(optimizers.diagnostics)(state)
    assert not any(bool((x != x).any()) for x in jax.tree.leaves((updates, state)))


@compiled_case
def test_reverse_mode_is_finite_where_gradients_are_zero(name, variant):
    tx = make(name, **variant)
    params = {'kernel': jnp.ones((3, 2)), 'unused': jnp.zeros((2, 2))}

    def after_a_step(scale):
        gradients = {
            'kernel': scale * jnp.array([[1.0, 0.0]] * 3),
            'unused': scale * jnp.zeros((2, 2)),
        }
        updates, _ = tx.update(gradients, tx.init(params), params)
        return sum(jnp.sum(w**2) for w in jax.tree.leaves(optax.apply_updates(params, updates)))

    assert bool(jnp.isfinite(jax.jit(jax.grad(after_a_step))(0.5)))


def test_every_wrapper_around_another_is_a_case():
    """A wrapper that is added to the package is added here."""
    wrappers = {
        n
        for n in OPTIMIZERS
        if {'inner', 'tx'} & set(lookup.parameters(lookup.find('optimizer', n)))
    }
    assert wrappers <= set(WRAPPERS) | set(itertools.chain(*(w.split() for w in WRAPPERS)))
