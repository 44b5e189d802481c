"""Gradient noise has the covariance that was asked for, wherever its leaves lie.

Statistics: a sample variance of n normal draws has relative standard error sqrt(2 / n), a sample
covariance of independent ones sd * sd / sqrt(n). Seeds are fixed; bounds are five standard errors.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from lbexp.optimizers import gradient_noise

SHAPES = {'a': (2, 3), 'b': (4,)}
DRAWS = 10_000
ERRORS = 5


def zeros():
    return {name: jnp.zeros(shape) for name, shape in SHAPES.items()}


def flat(tree):
    return np.concatenate([np.asarray(tree[name]).reshape(DRAWS, -1) for name in SHAPES], axis=1)


def noises(tx, gradients, counts=(0,), **extra_args):
    """The noise of DRAWS seeds at each update of `counts`: [DRAWS, 10] each; `extra_args` are
    shared."""

    def one(seed, count):
        state = tx.init(gradients)._replace(seed=seed, count=count)
        return jax.tree.map(jnp.subtract, tx.update(gradients, state, **extra_args)[0], gradients)

    draw = jax.jit(jax.vmap(one, (0, None)))
    return [flat(draw(jnp.arange(DRAWS, dtype=jnp.uint32), jnp.int32(count))) for count in counts]


def assert_covariance(samples, expected):
    """Mean zero and covariance `expected` (exact), entry by entry."""
    n, sd = len(samples), np.sqrt(np.diag(expected))
    assert (np.abs(samples.mean(0)) <= ERRORS * sd / np.sqrt(n) + 1e-12).all()
    error = np.sqrt((np.outer(sd, sd) ** 2 + expected**2) / n)
    difference = samples.T @ samples / n - expected
    assert (np.abs(difference) <= ERRORS * error + 1e-12).all()


def test_isotropic_covariance_anneals():
    for count, found in zip(
        (0, 99), noises(gradient_noise('isotropic', eta=0.3, gamma=0.5), zeros(), (0, 99))
    ):
        assert_covariance(found, np.eye(10) * 0.3 / (1 + count) ** 0.5)


def test_annealing_is_the_papers_by_default_and_off_for_the_other_kinds():
    state = gradient_noise().init(zeros())._replace(count=jnp.int32(7))
    for kind, gamma in (('isotropic', 0.55), ('anticorrelated', 0.0)):
        default, explicit = (
            gradient_noise(kind, **g).update(zeros(), state)[0] for g in ({}, {'gamma': gamma})
        )
        np.testing.assert_array_equal(default['a'], explicit['a'])


def test_fisher_covariance_from_given_squares():
    squares = {'a': jnp.arange(6.0).reshape(2, 3), 'b': jnp.array([9.0, 0.0, 1.0, 4.0])}
    (found,) = noises(
        gradient_noise('diagonal_fisher', eta=0.5), zeros(), squared_gradients=squares
    )
    assert_covariance(found, 0.5 * np.diag([0, 1, 2, 3, 4, 5, 9, 0, 1, 4.0]))


@pytest.mark.long
def test_fisher_covariance_from_its_running_mean():
    tx = gradient_noise('diagonal_fisher', eta=1.0, decay=0.5)
    gradients = jax.tree.map(lambda x: x + 2.0, zeros())
    _, state = tx.update(gradients, tx.init(gradients))
    np.testing.assert_allclose(state.second_moment['b'], 4.0, rtol=1e-6)
    _, state = tx.update(zeros(), state)
    # (0.5 * 0.5 * 4 + 0.5 * 0) / (1 - 0.25): bias-corrected.
    np.testing.assert_allclose(state.second_moment['b'], 4 / 3, rtol=1e-6)
    assert_covariance(*noises(tx, gradients), 4.0 * np.eye(10))


@pytest.mark.long
def test_gradient_difference_covariance_is_that_of_the_gradient():
    """Two independent gradients of covariance C, one draw each: the noise has covariance eta * C,
    every block of it."""
    root = np.asarray(jax.random.normal(jax.random.key(1), (10, 10))) / 3
    tx = gradient_noise('gradient_difference', eta=0.7)

    def one(seed):
        g, other = (
            jnp.asarray(root) @ jax.random.normal(k, (10,))
            for k in jax.random.split(jax.random.key(seed))
        )
        tree = {'a': (g - other)[:6].reshape(2, 3) / np.sqrt(2), 'b': (g - other)[6:] / np.sqrt(2)}
        state = tx.init(zeros())._replace(seed=seed + 12345)
        return tx.update(zeros(), state, gradient_difference=tree)[0]

    found = flat(jax.jit(jax.vmap(one))(jnp.arange(DRAWS, dtype=jnp.uint32)))
    expected = 0.7 * root @ root.T
    # A product of two normals has kurtosis 9: entries' errors are up to sqrt((9 - 1) / 2) = 2 times
    # larger.
    difference = found.T @ found / DRAWS - expected
    sd = np.sqrt(np.diag(expected))
    assert (np.abs(difference) < 2 * ERRORS * np.outer(sd, sd) * np.sqrt(2 / DRAWS)).all()


def test_anticorrelated_covariances():
    """2 s^2 I, -s^2 I between successive updates, nothing beyond; a sum over updates telescopes."""
    tx = gradient_noise('anticorrelated', eta=0.25)
    first, second, third = noises(tx, zeros(), (0, 1, 2))
    assert_covariance(first, 0.5 * np.eye(10))
    for later, expected in ((second, -0.25), (third, 0.0)):
        lagged = (first * later).mean(0)
        assert (np.abs(lagged - expected) < ERRORS * 0.5 * np.sqrt(2 / DRAWS)).all()
    assert_covariance(first + second + third, 0.5 * np.eye(10))


def test_noise_is_added_to_the_gradient_and_independent_between_leaves_steps_and_seeds():
    tx = gradient_noise(eta=1.0, gamma=0.0, seed=4)
    like = {'x': jnp.full(500, 3.0), 'y': jnp.full(500, 3.0)}
    updates, state = tx.update(like, tx.init(like))
    later, _ = tx.update(like, state)
    other, _ = gradient_noise(eta=1.0, gamma=0.0, seed=5).update(
        like, tx.init(like)._replace(seed=jnp.uint32(5))
    )
    draws = np.stack([updates['x'], updates['y'], later['x'], other['x']]) - 3.0
    correlation = np.corrcoef(draws) - np.eye(4)
    assert np.abs(correlation).max() < ERRORS / np.sqrt(500)


def test_a_resumed_run_goes_on_with_the_same_noise():
    tx = optax.chain(gradient_noise(seed=3), optax.sgd(0.1))
    state = tx.init(zeros())
    for _ in range(3):
        expected, state = tx.update(zeros(), state)
    fresh = tx.init(zeros())
    restored = (fresh[0]._replace(count=jnp.int32(2)), *fresh[1:])
    found, _ = tx.update(zeros(), restored)
    np.testing.assert_array_equal(found['a'], expected['a'])


def test_other_leaves_do_not_change_the_noise_of_a_leaf():
    """A layer more, a mask, another order of the tree: what stays has the noise that it had."""
    tx, few = gradient_noise(seed=3), {'m': jnp.zeros(4)}

    def noise(tx, tree):
        return tx.update(tree, tx.init(tree))[0]['m']

    more = {'a': jnp.zeros(2), **few, 'z': jnp.zeros(3)}
    np.testing.assert_array_equal(noise(tx, few), noise(tx, more))
    np.testing.assert_array_equal(
        noise(tx, few), noise(optax.masked(tx, {'a': False, 'm': True, 'z': True}), more)
    )
    assert len(np.unique(noise(tx, {'m': jnp.zeros(4), 'n': jnp.zeros(4)}))) == 4


def test_no_key_objects_in_the_state():
    state = gradient_noise('diagonal_fisher', seed=7).init(zeros())
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(jax.tree.map(np.asarray, state)))
    assert state.seed.dtype == jnp.uint32 and int(state.seed) == 7


@pytest.mark.parametrize('kind', ['isotropic', 'diagonal_fisher', 'anticorrelated'])
def test_sharding_and_device_count_do_not_change_the_noise(kind):
    tx = gradient_noise(kind, seed=11)
    gradients = {'w': jnp.ones((16, 8)), 'v': jnp.ones((8,))}
    expected, _ = jax.jit(tx.update)(gradients, tx.init(gradients))
    for devices, spec in ((8, P('data')), (4, P(None, 'data')), (2, P())):
        mesh = jax.make_mesh(
            (devices,), ('data',), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
        )
        placed = jax.device_put(gradients['w'], NamedSharding(mesh, spec))
        sharded = {'w': placed, 'v': jax.device_put(gradients['v'], NamedSharding(mesh, P()))}
        found, _ = jax.jit(tx.update)(sharded, jax.jit(tx.init)(sharded))
        np.testing.assert_array_equal(found['w'], expected['w'])


def test_replicas_are_independent_by_seed_or_axis_and_share_when_asked():
    like = jnp.zeros(400)

    def draw(tx):
        return tx.update(like, tx.init(like))[0]

    seeds = jnp.array([1, 2], jnp.uint32)
    by_seed = jax.vmap(lambda seed: draw(gradient_noise(eta=1.0, gamma=0.0, seed=seed)))(seeds)
    by_axis = jax.vmap(
        lambda _: draw(gradient_noise(eta=1.0, gamma=0.0, axis_name='replica')), axis_name='replica'
    )(jnp.arange(2))
    for pair in (by_seed, by_axis):
        assert abs(np.corrcoef(*pair)[0, 1]) < ERRORS / 20
    shared = jax.vmap(lambda _: draw(gradient_noise(eta=1.0, gamma=0.0, seed=1)))(jnp.arange(2))
    np.testing.assert_array_equal(shared[0], shared[1])
    np.testing.assert_array_equal(shared[0], by_seed[0])


def test_replicas_in_shard_map_have_their_own_noise():
    mesh = jax.make_mesh((4,), ('data',), axis_types=(AxisType.Auto,), devices=jax.devices()[:4])
    tx = gradient_noise(eta=1.0, gamma=0.0, axis_name='data')

    def draw(g):
        return tx.update(g, tx.init(g))[0]

    found = jax.jit(jax.shard_map(draw, mesh=mesh, in_specs=P('data'), out_specs=P('data')))(
        jnp.zeros(16)
    )
    assert len(np.unique(found)) == 16


def test_noise_keeps_dtypes_and_complex_variance():
    tx = gradient_noise(eta=1.0, gamma=0.0)
    like = {'h': jnp.zeros(4, jnp.bfloat16), 'c': jnp.zeros(20_000, jnp.complex64), 'n': None}
    found, _ = tx.update(like, tx.init(like))
    assert (found['h'].dtype, found['c'].dtype, found['n']) == (jnp.bfloat16, jnp.complex64, None)
    assert float((jnp.abs(found['c']) ** 2).mean()) == pytest.approx(
        1.0, abs=ERRORS / np.sqrt(20_000)
    )


def test_noise_errors():
    with pytest.raises(ValueError, match="'white'; allowed: 'isotropic'"):
        gradient_noise('white')
    tx = gradient_noise('gradient_difference')
    with pytest.raises(ValueError, match='gradient_difference='):
        tx.update(zeros(), tx.init(zeros()))
