"""At the ends of float32: norms and squares that leave it, seeds, derivatives at zero."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp import optimizers

pytestmark = pytest.mark.usefixtures('quick_compilation')
PARAMS = {'w': jnp.ones((3, 2)), 'b': jnp.zeros(2)}


def first_update(tx, scale):
    gradients = jax.tree.map(lambda w: scale * (w + 0.5), PARAMS)
    return tx.update(gradients, tx.init(PARAMS), PARAMS)[0]


def test_lambs_normalized_gradients_have_no_length():
    tx = optimizers.lamb(0.1, weight_decay=0.0, normalize_gradients=True)
    update = jax.jit(lambda scale: first_update(tx, scale))
    for scale in (1e-30, 1e-20, 1e-10, 1e10, 1e18, 3e19, 1e30, 1e37):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), update(scale), update(1.0)
        )


def test_lambs_limited_gradients_have_the_length_of_the_limit():
    tx = optimizers.lamb(0.1, weight_decay=0.0, max_gradient_norm=1.0)
    update = jax.jit(lambda scale: first_update(tx, scale))
    for scale in (1e10, 1e18, 3e19, 1e30, 1e37):
        changes = update(scale)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), changes, update(10.0)
        )
        assert float(jnp.abs(changes['w']).min()) > 0.01


@pytest.mark.long
def test_lambs_common_norm_has_derivatives_where_all_gradients_are_zero():
    tx = optimizers.lamb(0.1, normalize_gradients=True)
    slope = jax.grad(lambda scale: jnp.sum(first_update(tx, scale)['w']))(0.0)
    assert bool(jnp.isfinite(slope))


def test_the_optimal_step_size_forgets_units():
    """Losses in other units and weights in other units have the same optimum along the line."""

    @jax.jit
    def step_size(rate, bend, length):
        """(slow - start) / (fast - start) after a synchronisation, on a valley of two
        curvatures."""
        tx = optimizers.lookahead(optimizers.sgd(rate), 2, 'optimal', curvature_decay=None)
        start = jnp.array([1.0, -2.0], jnp.float32) * length
        w, plain, state = start, start, tx.init(start)
        curvature = jnp.array([4.0, 1.0], jnp.float32) * bend
        for _ in range(2):
            change, state = tx.update(curvature * w, state, w, curvature=curvature)
            w = optax.apply_updates(w, change)
            plain = plain - rate * curvature * plain
        return (w - start) / (plain - start)

    for scale, length in (
        (1e-18, 1.0),
        (1e-9, 1e-12),
        (1.0, 1e-15),
        (1e9, 1e-10),
        (1e15, 1.0),
        (1e15, 1e12),
        (1.0, 1e15),
    ):
        found = step_size(0.3 / scale * length**2, scale / length**2, length)
        np.testing.assert_allclose(found, step_size(0.3, 1.0, 1.0), rtol=1e-3)


def test_the_optimal_step_size_is_finite_with_gradients_of_any_size():
    start = jnp.ones(3)

    @jax.jit
    def four_steps(rate, scale):
        tx = optimizers.lookahead(optimizers.sgd(rate), 2, 'optimal')
        w, state = start, tx.init(start)
        for _ in range(4):
            updates, state = tx.update(scale * w, state, w)
            w = optax.apply_updates(w, updates)
        return w, state

    for scale in (1e-30, 1e19, 1e25, 1e30, 1e36):
        w, state = four_steps(0.1 / scale, scale)
        assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(state))
        assert bool(((w > 0) & (w < start)).all())


@pytest.mark.parametrize(
    'seed', [0, 2**31 - 1, 2**31, 2**32 - 1, np.int64(2**31), np.uint32(2**32 - 1), jnp.uint32(7)]
)
def test_every_seed_of_its_range_is_one(seed):
    state = optimizers.gradient_noise(seed=seed).init(PARAMS)
    assert state.seed.dtype == jnp.uint32 and int(state.seed) == int(seed)


@pytest.mark.parametrize('seed', [-1, 2**32, 0.5, np.int64(-1)])
def test_no_other_seed_is_taken(seed):
    with pytest.raises(
        ValueError,
        match=(
            r'^seed: found .*; allowed: an integer in \[0, '
            r'4294967295\]$'
        ),
    ):
        optimizers.gradient_noise(seed=seed)


def test_noise_of_a_gradient_of_any_size_is_finite():
    tx = optimizers.gradient_noise('diagonal_fisher')
    for scale in (0.0, 1e25, 3e38):
        gradients = jnp.full(3, scale)
        state = tx.init(gradients)
        for _ in range(2):
            _, state = tx.update(gradients, state)
        assert bool(jnp.isfinite(state.second_moment).all())
