"""What optax's layerwise optimizers do and what these do, in numbers, side by side."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from lbexp import optimizers

LAYERWISE = {
    'lars': (lambda **more: optimizers.lars(0.5, 1e-2, trust_coefficient=0.1, **more), optax.lars),
    'larc': (lambda **more: optimizers.larc(0.5, 1e-2, **more), None),
    'lamb': (lambda **more: optimizers.lamb(0.1, **more), optax.lamb),
    'novograd': (
        lambda **more: optimizers.novograd(0.1, weight_decay=1e-2, **more),
        optax.novograd,
    ),
}


def updates(tx, slope, params, steps=1):
    """The last of `steps` updates with the same gradients."""
    state = tx.init(params)
    for _ in range(steps):
        found, state = jax.jit(tx.update)(slope, state, params)
    return found


def length(x):
    return float(np.linalg.norm(np.asarray(x, np.float64)))


def normal(*shape, scale=1.0, seed=0):
    return jnp.asarray(scale * np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def test_lars_ratio_where_gradient_and_decay_meet():
    """At g = -beta w (nearly): the ratio is bounded by trust_coefficient / beta / 2 = 0.05; optax's
    is 1000."""
    w = jnp.ones((4, 4))
    slope = -0.01 * w * (1 - 1e-4)
    theirs = optax.lars(1.0, 0.01, trust_coefficient=0.001, momentum=0.0)
    ours = optimizers.lars(1.0, 0.01, trust_coefficient=0.001, momentum=0.0)
    taken = slope + 0.01 * w

    def ratio(tx):
        return length(updates(tx, slope, w)) / length(taken)

    assert ratio(theirs) == pytest.approx(1000, rel=1e-3)
    assert ratio(ours) == pytest.approx(0.05, rel=1e-3)


def test_lars_moves_a_zero_layer_as_far_as_any_other():
    """Rate 29: optax's first step of weights that are 0 is 29 |g|, 1000 times what it is anywhere
    else."""
    zeros, slope = jnp.zeros((2, 2)), jnp.full((2, 2), 0.5)
    assert length(updates(optax.lars(29.0), slope, zeros)) == pytest.approx(29)
    assert length(updates(optax.lars(29.0), slope, slope)) == pytest.approx(0.029)

    def ours(**more):
        return length(updates(optimizers.lars(29.0, **more), slope, zeros))

    assert ours() == pytest.approx(0.029)
    assert ours(zero_ratio=1.0) == pytest.approx(29)
    assert ours(zero_ratio=0.0) == 0


@pytest.mark.parametrize('name', ['lamb', 'lars'])
def test_layers_stacked_in_one_leaf_have_ratios_of_their_own(name):
    """Weights of length 4 and 40, equal gradients: optax moves them 7.1 and 0.71 times their
    share."""
    w = jnp.stack([jnp.full((2, 2), 2.0), jnp.full((2, 2), 20.0)])
    slope = jnp.ones_like(w)
    if name == 'lamb':
        theirs = optax.lamb(1.0)
        ours = optimizers.lamb(1.0, weight_decay=0.0, stacked_axes=1)
    else:
        theirs = optax.lars(1.0, trust_coefficient=1.0)
        ours = optimizers.lars(1.0, 0.0, trust_coefficient=1.0, stacked_axes=1)

    def share(tx):
        return [length(u) / length(each) for u, each in zip(updates(tx, slope, w), w, strict=True)]

    np.testing.assert_allclose(share(theirs), [7.106, 0.7106], rtol=1e-3)
    np.testing.assert_allclose(share(ours), [1, 1], rtol=1e-5)


def in_shards(tx, slope, params):
    """The first update where each of 8 devices has rows of every leaf."""
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    first = jax.shard_map(
        lambda g, p: tx.update(g, tx.init(p), p)[0],
        mesh=mesh,
        in_specs=P('data'),
        out_specs=P('data'),
    )
    return jax.jit(first)(slope, params)


def test_shards_of_shard_map_have_the_ratio_of_the_whole_layer():
    """Rows of unequal length: the ratio of a device's rows is not the layer's."""
    rows = jnp.asarray(np.linspace(0.1, 3, 16)[:, None], jnp.float32)
    w, slope = normal(16, 4) * rows, normal(16, 4, seed=1)
    theirs, ours = optax.lamb(0.1), lambda **more: optimizers.lamb(0.1, weight_decay=0.0, **more)
    whole = updates(ours(), slope, w)

    def apart(u):
        return float(jnp.max(jnp.abs(u - whole)) / jnp.max(jnp.abs(whole)))

    assert apart(updates(theirs, slope, w)) < 1e-5
    assert apart(in_shards(theirs, slope, w)) > 0.5
    assert apart(in_shards(ours(axis_name='data'), slope, w)) < 1e-6


@pytest.mark.parametrize(
    ('dtype', 'weight', 'gradient', 'ratio_of_optax'),
    [
        # |w| = 316.2 and |g| = 0.3162: squares of 300 and sums of 1e5 ones have no float16.
        (jnp.float16, 1.0, 1e-3, np.inf),
        (jnp.float32, 1e-25, 1e-25, 1.0),
        (jnp.float32, 1e-25, 1.0, 1.0),
    ],
)
def test_norms_that_leave_the_range_of_their_dtype(dtype, weight, gradient, ratio_of_optax):
    w, slope = jnp.full((500, 200), weight, dtype), jnp.full((500, 200), gradient, dtype)

    def ratio(tx):
        return float(jnp.max(-updates(tx, slope, w).astype(jnp.float32))) / float(slope[0, 0])

    assert ratio(optax.lars(1.0, trust_coefficient=0.1)) == pytest.approx(ratio_of_optax)
    expected = 0.1 * float(w[0, 0]) / float(slope[0, 0])
    # float16 of the update: 11 bits.
    rel = 1e-3 if dtype == jnp.float16 else 1e-5
    assert ratio(optimizers.lars(1.0, 0.0, trust_coefficient=0.1)) == pytest.approx(
        expected, rel=rel
    )


def test_half_precision_ratio():
    """optax squares in bfloat16: the ratio is off by 5e-3 and the step by more than its own
    rounding."""
    w = normal(64, 33).astype(jnp.bfloat16)
    slope = normal(64, 33, seed=1).astype(jnp.bfloat16)

    def wide(x):
        return np.asarray(x, np.float64)

    exact = 0.1 * length(w) / length(slope)

    # Their ratio is the length of their own update, whose elements are rounded independently.
    def ratio(tx):
        return float(
            -np.vdot(wide(updates(tx, slope, w)), wide(slope)) / np.vdot(wide(slope), wide(slope))
        )

    assert abs(ratio(optimizers.lars(1.0, 0.0, trust_coefficient=0.1)) / exact - 1) < 2e-4
    assert abs(ratio(optax.lars(1.0, trust_coefficient=0.1)) / exact - 1) > 5e-4


@pytest.mark.parametrize('name', ['sgd', 'momentum', 'adamw', 'lars', 'larc', 'lamb', 'novograd'])
def test_learning_rates_are_not_rounded_to_the_parameters_dtype(name):
    """Rates 1.000 and 1.003 are one number in bfloat16, and in optax one trajectory."""
    w = normal(8, 8).astype(jnp.bfloat16)
    slope = normal(8, 8, seed=1).astype(jnp.bfloat16)

    # Equal updates after rounding to bfloat16 are likely for one weight, not for 64.
    def theirs(rate):
        return updates(optax.sgd(lambda count: rate + 0.0 * count), slope, w)

    np.testing.assert_array_equal(theirs(1.0), theirs(1.003))
    # clipped, its steps do not depend on the rate
    more = {'mode': 'scale'} if name == 'larc' else {}

    def ours(rate):
        return updates(
            getattr(optimizers, name)(lambda count: rate + 0.0 * count, **more), slope, w
        )

    assert not jnp.array_equal(ours(1.0), ours(1.003))


def test_novograd_keeps_its_second_moment_in_float32():
    """|g|^2 = 9e10 has no float16: optax's moment is inf and its weights stand still."""
    w, slope = jnp.ones((1000, 300), jnp.float16), jnp.ones((1000, 300), jnp.float16)
    stuck = optax.novograd(1.0, b1=0.0)
    slope = 300 * slope
    assert length(updates(stuck, slope, w)) == 0
    ours = updates(optimizers.novograd(1.0, b1=0.0), slope, w)
    assert length(ours) == pytest.approx(1, rel=2e-3)
    assert optimizers.novograd(1.0).init(w).nu.dtype == jnp.float32
    assert optax.novograd(1.0).init(w)[0].nu.dtype == jnp.float16


def test_lamb_spares_biases():
    """A bias of 5 takes optax's step of half a unit, five times Adam's, whatever its mask says."""
    params = {'kernel': jnp.ones((2, 2)), 'bias': jnp.full(1, 5.0)}
    slope = jax.tree.map(jnp.ones_like, params)
    masked = optax.lamb(0.1, weight_decay=0.01, mask={'kernel': True, 'bias': False})
    assert updates(masked, slope, params)['bias'] == pytest.approx(-0.5, rel=1e-4)
    assert updates(optimizers.lamb(0.1), slope, params)['bias'] == pytest.approx(-0.1, rel=1e-4)
    adapted = optimizers.lamb(0.1, adapt='all')
    assert updates(adapted, slope, params)['bias'] == pytest.approx(-0.5, rel=1e-4)


def test_novograd_averages_gradients_and_schedules_its_decay():
    w, slope = jnp.ones((2, 2)), jnp.ones((2, 2))
    assert 'grad_averaging' not in inspect.signature(optax.novograd).parameters

    # The second step: (b1 + 1) / 2 in units of the first without averaging, b1 + (1 - b1) = 1 with.
    def second(**more):
        return length(updates(optimizers.novograd(1.0, b1=0.5, **more), slope, w, steps=2))

    assert second() == pytest.approx(1.5)
    assert second(grad_averaging=True) == pytest.approx(1)

    def decay(count):
        return 0.1 / (1 + count)

    theirs, ours = (
        optax.novograd(1.0, weight_decay=decay),
        optimizers.novograd(1.0, b1=0.0, weight_decay=decay),
    )
    with pytest.raises(TypeError, match='unsupported operand'):
        updates(theirs, slope, w)
    zeros = jnp.zeros_like(w)
    np.testing.assert_allclose(updates(ours, zeros, w), -0.1, rtol=1e-6)
    np.testing.assert_allclose(updates(ours, zeros, w, steps=2), -0.05, rtol=1e-6)


def test_a_layer_that_starts_late_takes_a_step_of_its_usual_length():
    """No gradient at the first update: optax's first step is then 1 / sqrt(1 - b2) = 7.1 too
    long."""
    w, zeros, slope = jnp.ones((2, 2)), jnp.zeros((2, 2)), jnp.ones((2, 2))

    def late(tx):
        _, state = tx.update(zeros, tx.init(w), w)
        return length(tx.update(slope, state, w)[0])

    assert late(optax.novograd(1.0, b2=0.98)) == pytest.approx(7.07, rel=1e-3)
    assert late(optimizers.novograd(1.0, b2=0.98)) == pytest.approx(1)


@pytest.mark.parametrize('name', LAYERWISE)
def test_missing_parameters_are_named_in_one_line(name):
    ours, _ = LAYERWISE[name]
    w = jnp.ones((2, 2))
    with pytest.raises(
        ValueError,
        match=(
            r'^this optimizer needs the parameters: call '
            r'update\(.*\)$'
        ),
    ):
        ours().update(w, ours().init(w))


def test_optax_does_not_say_that_novograd_lacks_parameters():
    tx, w = optax.novograd(0.1), jnp.ones((2, 2))
    with pytest.raises(TypeError, match=r"unsupported operand.* 'float' and 'NoneType'"):
        tx.update(w, tx.init(w))


def test_larc_never_exceeds_the_learning_rate():
    assert not hasattr(optax, 'larc')
    w = {'short': jnp.full((2, 2), 0.01), 'long': jnp.full((2, 2), 100.0)}
    slope = jax.tree.map(lambda x: jnp.full_like(x, 0.5), w)
    tx = optimizers.larc(0.1, trust_coefficient=0.02, eps=0.0)
    found = updates(tx, slope, w)
    assert length(found['short']) == pytest.approx(0.02 * 0.02)  # the local rate, 0.02 |w| / |g|
    assert length(found['long']) == pytest.approx(0.1)  # the local rate would be 4


@pytest.mark.parametrize('name', ['lars', 'larc', 'lamb'])
def test_ratios_have_bounds_and_are_told(name):
    ours, theirs = LAYERWISE[name]
    if theirs:
        assert not {'ratio_bounds', 'trust_clip'} & set(inspect.signature(theirs).parameters)
    w = {'a': jnp.full((2, 2), 0.3), 'b': jnp.full((2, 2), 3.0)}
    slope = jax.tree.map(jnp.ones_like, w)
    free, bound = ours(), ours(ratio_bounds=(0.02, 0.04))

    def told(tx):
        return optimizers.diagnostics(tx.update(slope, tx.init(w), w)[1], w)

    lengths = [length(updates(free, slope, w)[key]) for key in w]
    ratio, bounded = np.asarray(told(free)['trust_ratio']), np.asarray(told(bound)['trust_ratio'])
    assert told(free)['layer'] == ['a', 'b']
    np.testing.assert_allclose(bounded, np.clip(ratio, 0.02, 0.04), rtol=1e-6)
    # What it tells is what it did: the same direction, shorter or longer by the ratios.
    np.testing.assert_allclose(
        [length(updates(bound, slope, w)[key]) for key in w], lengths * bounded / ratio, rtol=1e-5
    )


def tree(seed, scale=1.0):
    return {f'w{i}': normal(16, 8, scale=scale * 10.0**i, seed=seed + i) for i in range(10)}


def placed(values):
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    return jax.tree.map(lambda x: jax.device_put(x, NamedSharding(mesh, P('data'))), values)


@pytest.mark.long
@pytest.mark.parametrize('name', LAYERWISE)
def test_sharded_parameters_move_as_whole_ones(name):
    ours, _ = LAYERWISE[name]
    params, slope = tree(0, 1e-3), tree(20, 1e-4)
    whole, sharded = (
        updates(ours(), g, p, steps=3)
        for g, p in ((slope, params), (placed(slope), placed(params)))
    )
    for key in params:
        assert sharded[key].sharding.spec == P('data')
        assert length(sharded[key] - whole[key]) <= 1e-6 * length(whole[key])


@pytest.mark.parametrize(
    ('name', 'at_most'),
    [('lars', 1), ('larc', 1), ('lamb', 1), ('novograd', 1), ('adamw', 0), ('momentum', 0)],
)
def test_sharded_parameters_need_fewer_all_reduces_than_optax(name, at_most):
    """Ten sharded leaves, as the compiler counts them in what every update runs."""
    params = placed(tree(0))

    def count(tx):
        return reductions(jax.jit(tx.update).lower(params, tx.init(params), params))

    assert count(getattr(optimizers, name)(0.1)) == at_most
    if name in ('lars', 'lamb'):
        assert count(LAYERWISE[name][1](0.1, weight_decay=0.01)) > 10


def reductions(lowered):
    entry = re.search(r'\nENTRY .*?\n}', lowered.compile().as_text(), re.S).group()
    return len(re.findall(r' all-reduce(?:-start)?\(', entry))
