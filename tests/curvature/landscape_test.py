"""Slices, interpolations and curves where they are known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp.curvature import landscape, trees

MATRIX = jnp.array([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, -1.0]])
PARAMS = {'w': jnp.array([0.5, -1.0, 2.0])}
FIRST, SECOND = {'w': jnp.array([1.0, 2.0, -1.0])}, {'w': jnp.array([0.0, 1.0, 1.0])}


def quadratic(params):
    return params['w'] @ MATRIX @ params['w'] / 2


def test_a_slice_of_a_quadratic_is_a_parabola():
    points = jnp.linspace(-2, 2, 9)
    losses = np.asarray(landscape.line(quadratic, PARAMS, FIRST, points))
    coefficients = np.polyfit(points, losses, 2)
    d, w = np.asarray(FIRST['w']), np.asarray(PARAMS['w'])
    expected = [d @ MATRIX @ d / 2, d @ MATRIX @ w, w @ MATRIX @ w / 2]
    np.testing.assert_allclose(coefficients, expected, rtol=1e-4)


def test_a_plane_has_its_axes_in_order():
    rows, columns = jnp.array([0.0, 1.0]), jnp.array([-1.0, 0.0, 2.0])
    losses = landscape.plane(quadratic, PARAMS, FIRST, SECOND, rows, columns)
    for i, a in enumerate(rows):
        for j, b in enumerate(columns):
            moved = {'w': PARAMS['w'] + a * FIRST['w'] + b * SECOND['w']}
            assert losses[i, j] == pytest.approx(float(quadratic(moved)), rel=1e-6)


def test_filters_have_the_norms_of_the_weights():
    params = {
        'dense': jnp.arange(1.0, 7.0).reshape(3, 2),
        'conv': jnp.arange(1.0, 25.0).reshape(2, 2, 3, 2),
        'bias': jnp.ones(2),
        'dead': jnp.zeros((3, 2)),
    }
    direction = landscape.random_direction(jax.random.key(0), params)
    for name in ('dense', 'conv'):
        # the last axis is that of the outputs
        drawn, weights = np.asarray(direction[name]), np.asarray(params[name])
        lengths = np.linalg.norm(drawn.reshape(-1, 2), axis=0)
        np.testing.assert_allclose(lengths, np.linalg.norm(weights.reshape(-1, 2), axis=0), 1e-5)
    assert not direction['bias'].any() and not direction['dead'].any()
    same = landscape.random_direction(jax.random.key(0), jax.tree.map(lambda w: 2 * w, params))
    np.testing.assert_allclose(same['conv'], 2 * direction['conv'], rtol=1e-6)


def test_ends_of_lines_and_curves_are_bitwise_the_networks():
    first = trees.normal_like(jax.random.key(0), PARAMS)
    last = trees.normal_like(jax.random.key(1), PARAMS)
    middle = trees.normal_like(jax.random.key(2), PARAMS)
    for place, end in ((0.0, first), (1.0, last)):
        at = landscape.between(first, last, jnp.float32(place))
        np.testing.assert_array_equal(at['w'], end['w'])
        at = landscape.bezier(first, middle, last, jnp.float32(place))
        np.testing.assert_array_equal(at['w'], end['w'])
    half = landscape.bezier(first, middle, last, 0.5)['w']
    expected = first['w'] / 4 + middle['w'] / 2 + last['w'] / 4
    np.testing.assert_allclose(half, expected, rtol=1e-5, atol=1e-6)


def wells(params):
    """Minima on the unit circle, a hill of height 1 in its middle."""
    x = params['w']
    return (jnp.sum(x**2) - 1) ** 2


def test_the_barrier_and_the_way_around_it():
    left, right = {'w': jnp.array([-1.0, 0.0])}, {'w': jnp.array([1.0, 0.0])}
    points = jnp.linspace(-1, 2, 31)
    losses = landscape.interpolation(wells, left, right, points)
    barrier = landscape.barrier(losses, points)
    assert barrier.height == pytest.approx(1, abs=1e-4)
    assert barrier.place == pytest.approx(0.5, abs=1e-4)
    # nudged, as the middle itself has no gradient upwards
    tilted = {'w': jnp.array([1.0, 0.1])}
    optimizer = optax.sgd(0.05)

    @jax.jit
    def bend(key):
        return landscape.connect(wells, left, tilted, optimizer, key, 400)

    middle = bend(jax.random.key(0))
    ts = jnp.linspace(0, 1, 21)
    on_curve = jax.vmap(lambda t: wells(landscape.bezier(left, middle, tilted, t)))(ts)
    assert on_curve.max() < 0.15
    np.testing.assert_array_equal(middle['w'], bend(jax.random.key(0))['w'])


def test_the_best_curve_in_a_bowl():
    """E_t of a quadratic around 0 is least at theta = -3/4 (w1 + w2), as the integrals of
    2 t (1 - t)^3 and 4 t^2 (1 - t)^2 are 1/10 and 2/15."""
    stretch = jnp.array([3.0, 1.0, 0.5])

    def bowl(params):
        return jnp.sum(stretch * params['w'] ** 2)

    optimizer = optax.adam(optax.cosine_decay_schedule(0.05, 2000))
    middle = jax.jit(lambda key: landscape.connect(bowl, FIRST, SECOND, optimizer, key, 2000))(
        jax.random.key(0)
    )
    expected = -0.75 * (FIRST['w'] + SECOND['w'])
    np.testing.assert_allclose(middle['w'], expected, atol=0.05)
    points = jnp.linspace(0, 1, 9)
    on_curve = landscape.curve(bowl, FIRST, middle, SECOND, points)
    on_line = landscape.interpolation(bowl, FIRST, SECOND, points)
    assert (on_curve[1:-1] < on_line[1:-1]).all()
    np.testing.assert_array_equal(on_curve[jnp.array([0, -1])], on_line[jnp.array([0, -1])])


def test_a_convex_loss_has_no_barrier():
    points = jnp.linspace(-0.5, 1.5, 21)
    bowl = landscape.interpolation(lambda p: jnp.sum(p['w'] ** 2), FIRST, SECOND, points)
    assert landscape.barrier(bowl, points).height == pytest.approx(0, abs=1e-5)
