"""What the optimizers say about their last update, through every wrapper."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp import optimizers

pytestmark = pytest.mark.usefixtures('quick_compilation')
PARAMS = {
    'blocks': {
        'kernel': jnp.stack([jnp.full((2, 2), 1.0), jnp.full((2, 2), 3.0)]),
        'bias': jnp.zeros((2, 2)),
    },
    'head': jnp.full((4, 1), 0.5),
}
SLOPE = jax.tree.map(lambda w: jnp.ones_like(w) * 0.25, PARAMS)
STACKED = {'blocks': 1}


def lars(**more):
    return optimizers.lars(2.0, 0.1, trust_coefficient=0.01, stacked_axes=STACKED, **more)


def after(tx, steps=1, params=PARAMS):
    state, update = tx.init(params), jax.jit(tx.update)
    for _ in range(steps):
        updates, state = update(SLOPE, state, params)
        params = optax.apply_updates(params, updates)
    return state, params


def test_lars_says_what_it_did():
    found = optimizers.diagnostics(after(lars())[0], PARAMS)
    weight = np.array([2.0, 6.0, 1.0])
    ratio = 0.01 * weight / (0.5 + 0.1 * weight)
    assert found['layer'] == ['blocks/kernel[0]', 'blocks/kernel[1]', 'head']
    np.testing.assert_allclose(found['weight_norm'], weight, rtol=1e-6)
    np.testing.assert_allclose(found['gradient_norm'], 0.5, rtol=1e-6)
    np.testing.assert_allclose(found['trust_ratio'], ratio, rtol=1e-6)
    np.testing.assert_allclose(found['effective_learning_rate'], 2 * ratio, rtol=1e-6)
    np.testing.assert_allclose(found['update_norm'], 2 * ratio * 0.5, rtol=1e-6)
    np.testing.assert_allclose(found['relative_update'], 2 * ratio * 0.5 / weight, rtol=1e-6)
    assert found['clip_fraction'] == 0


def test_clip_fraction_counts_layers_at_a_bound():
    assert optimizers.diagnostics(after(lars(ratio_bounds=(0.0, 0.03)))[0])[
        'clip_fraction'
    ] == pytest.approx(1 / 3)
    # local rates 0.08, 0.24, 0.04 against a rate of 0.06
    clipped = optimizers.larc(0.06, stacked_axes=STACKED)
    assert optimizers.diagnostics(after(clipped)[0])['clip_fraction'] == pytest.approx(2 / 3)
    assert (
        optimizers.diagnostics(after(optimizers.lamb(0.1, weight_norm_bounds=(0.0, 4.0)))[0])[
            'clip_fraction'
        ]
        > 0
    )


WRAPPERS = {
    'chain': lambda tx: optax.chain(optax.clip(10.0), tx, optax.identity()),
    'masked': lambda tx: optax.masked(tx, True),
    'MultiSteps': lambda tx: optax.MultiSteps(tx, 1),
    'accumulate': lambda tx: optimizers.accumulate(tx, 1),
    'apply_if_finite': lambda tx: optax.apply_if_finite(tx, 3),
    'lookahead': lambda tx: optimizers.lookahead(tx, 5),
    'nested': lambda tx: optax.chain(optimizers.lookahead(optimizers.lookahead(tx, 3), 2)),
}


@pytest.mark.parametrize('name', WRAPPERS)
def test_looks_through_wrappers(name):
    found = optimizers.diagnostics(after(WRAPPERS[name](lars()))[0], PARAMS)
    expected = optimizers.diagnostics(after(lars())[0], PARAMS)
    assert {key: found[key] for key in ('layer',)} == {'layer': expected['layer']}
    np.testing.assert_allclose(found['trust_ratio'], expected['trust_ratio'], rtol=1e-6)


def test_names_are_those_of_what_a_mask_lets_through():
    hidden = {'blocks': {'kernel': False, 'bias': True}, 'head': True}
    found = optimizers.diagnostics(after(optax.masked(optimizers.lars(2.0), hidden))[0], PARAMS)
    assert found['layer'] == ['blocks/bias', 'head']
    np.testing.assert_allclose(found['weight_norm'], [0.0, 1.0])


def test_several_optimizers_are_told_one_after_the_other():
    labels = {'blocks': {'kernel': 'lars', 'bias': 'lars'}, 'head': 'lamb'}
    both = optax.partition(
        {'lars': lars(ratio_bounds=(0.0, 0.01)), 'lamb': optimizers.lamb(0.1)}, labels
    )
    found = optimizers.diagnostics(after(both)[0], PARAMS)
    assert sorted(found['layer']) == ['blocks/kernel[0]', 'blocks/kernel[1]', 'head']
    told = dict(
        zip(
            found['layer'],
            zip(found['weight_norm'].tolist(), found['effective_learning_rate'].tolist()),
        )
    )
    # rate |w| / |u|, u four ones and the decay
    assert told['head'][1] == pytest.approx(0.1 * 1.0 / 2.0, rel=0.02)
    assert told['blocks/kernel[1]'] == pytest.approx((6.0, 2.0 * 0.01))
    assert found['clip_fraction'] == pytest.approx(2 / 3)


@pytest.mark.long
def test_replicas_are_told_one_by_one():
    tx, replicas = (
        optimizers.lookahead(lars(), 3),
        jax.tree.map(lambda w: jnp.stack([w, 2 * w]), PARAMS),
    )
    _, state = jax.jit(jax.vmap(tx.update))(
        jax.tree.map(lambda w: jnp.stack([w, w]), SLOPE), jax.vmap(tx.init)(replicas), replicas
    )
    with pytest.raises(ValueError, match=r'a stack of 2 states; use jax.vmap\(diagnostics\)'):
        optimizers.diagnostics(state, replicas)
    found = jax.vmap(optimizers.diagnostics)(state, replicas)
    assert found['trust_ratio'].shape == (2, 3) and found['slow_fast_distance'].shape == (2,)
    np.testing.assert_allclose(found['weight_norm'][1], 2 * found['weight_norm'][0], rtol=1e-6)


def test_looks_through_inject_hyperparams():
    make = optax.inject_hyperparams(
        optimizers.lars,
        static_args=('stacked_axes', 'decay', 'adapt', 'momentum_form', 'denominator', 'nesterov'),
    )
    state, _ = after(make(2.0, 0.1, trust_coefficient=0.01))
    assert optimizers.diagnostics(state, PARAMS)['trust_ratio'].shape == (3,)


def test_distance_of_slow_and_fast_weights():
    state, params = after(optimizers.lookahead(optimizers.sgd(0.4), k=3), 2)
    moved = np.sqrt(sum(w.size for w in jax.tree.leaves(PARAMS))) * 0.4 * 0.25 * 2
    assert optimizers.diagnostics(state, params)['slow_fast_distance'] == pytest.approx(
        moved, rel=1e-6
    )
    state, params = after(optimizers.lookahead(optimizers.sgd(0.4), k=3), 3)
    assert optimizers.diagnostics(state, params)['slow_fast_distance'] == 0


def test_distance_of_masked_and_nested_lookaheads():
    """What a mask hides has no distance; of nested ones the outer counts, whose slow weights are
    evaluated."""
    head = {'blocks': {'kernel': False, 'bias': False}, 'head': True}
    state, params = after(optax.masked(optimizers.lookahead(optimizers.sgd(0.4), k=3), head), 2)
    assert optimizers.diagnostics(state, params)['slow_fast_distance'] == pytest.approx(
        2 * 0.4 * 0.25 * 2, rel=1e-6
    )
    nested = optimizers.lookahead(optimizers.lookahead(optimizers.sgd(0.4), k=1), k=3)
    state, params = after(nested, 2)  # the inner one has just synchronised, the outer one has not
    slow = optimizers.slow_params(state, params)
    apart = np.sqrt(
        sum(
            float(jnp.sum((w - s) ** 2))
            for w, s in zip(jax.tree.leaves(params), jax.tree.leaves(slow))
        )
    )
    assert apart > 0.1
    assert optimizers.diagnostics(state, params)['slow_fast_distance'] == pytest.approx(
        apart, rel=1e-6
    )


def test_works_in_a_compiled_program_and_without_parameters():
    state, _ = after(lars())
    plain, compiled = optimizers.diagnostics(state), jax.jit(optimizers.diagnostics)(state, PARAMS)
    assert set(plain) == set(compiled) and 'layer' not in plain
    jax.tree.map(np.testing.assert_array_equal, plain, compiled)


def test_optimizers_without_layers_have_nothing_to_say():
    assert optimizers.diagnostics(after(optimizers.adamw(0.1))[0], PARAMS) == {}


def test_costs_nothing_measurable():
    """Reading it adds no work that grows with the parameters to a compiled update."""
    tx = optimizers.lamb(0.1)
    params = {'w': jnp.ones((256, 256))}

    def update(state, slope, params):
        updates, state = tx.update(slope, state, params)
        return updates, state

    def told(state, slope, params):
        updates, state = update(state, slope, params)
        return updates, state, optimizers.diagnostics(state)

    def cost(f):
        return (
            jax.jit(f)
            .lower(tx.init(params), params, params)
            .compile()
            .cost_analysis()['bytes accessed']
        )

    assert cost(told) <= 1.001 * cost(update)
