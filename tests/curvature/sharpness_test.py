"""Sharpness: bounds on quadratics, and what rescaling a ReLU network may and may not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.curvature import landscape, sharpness, trees

VALUES = np.array([4.0, 1.0, 0.5, -1.0])


def bowl(params):
    """Gradient (0.1, 0.1, 0.1, 0.1) at 0."""
    return (
        jnp.sum(jnp.asarray(VALUES, jnp.float32) * params['w'] ** 2) / 2 + 0.1 * params['w'].sum()
    )


def largest_on_a_ball(radius):
    """max of g e + e H e / 2 over |e| <= radius: (s - H) e = g with s above H, |e| = radius."""
    low, high = 4.0 + 1e-9, 1e6
    for _ in range(200):
        s = (low + high) / 2
        if np.linalg.norm(0.1 / (s - VALUES)) > radius:
            low = s
        else:
            high = s
    e = 0.1 / (s - VALUES)
    return 0.1 * e.sum() + (VALUES * e**2).sum() / 2


@pytest.mark.parametrize('radius', [0.01, 0.3, 3.0])
def test_sam_finds_the_maximum_of_a_quadratic(radius):
    params = {'w': jnp.zeros(4)}
    top = {'w': jnp.array([1.0, 0, 0, 0])}
    rise = sharpness.sam(bowl, params, radius, 40, [top])
    exact = largest_on_a_ball(radius)
    assert rise.value <= exact * (1 + 1e-5)
    assert rise.value == pytest.approx(exact, rel=1e-3)
    step = 0.2 * radius * 0.5 * np.ones(4) * 5  # radius g / |g| = radius (1/2, 1/2, 1/2, 1/2)
    first = 0.1 * step.sum() + (VALUES * step**2).sum() / 2
    assert rise.one_step == pytest.approx(first, rel=1e-3)
    assert rise.one_step <= rise.value
    # |g| radius + lambda radius^2 / 2
    assert rise.value <= 0.2 * radius + 4 * radius**2 / 2
    assert rise.gradients == 3 * 41


def test_one_step_is_no_maximum(dense):
    """Near a minimum it is radius x |gradient|; ascent finds several times as much."""

    @jax.jit
    def measure():
        return sharpness.sam(dense.loss, dense.params, 0.3, 20)

    rise = measure()
    length = trees.norm(jax.grad(dense.loss)(dense.params))
    assert rise.value > 2 * rise.one_step
    assert rise.value < 0.3 * length + 1.5 * dense.values[0] * 0.09 / 2


def test_a_minimum_needs_a_start():
    """Without a gradient the ascent from the point itself cannot begin."""
    params = {'w': jnp.zeros(3)}

    def loss(params):
        return jnp.sum(jnp.array([3.0, 1.0, 0.0]) * params['w'] ** 2) / 2

    assert sharpness.sam(loss, params, 0.1).value == 0
    top = {'w': jnp.array([2.0, 0.1, 0.0])}
    rise = sharpness.sam(loss, params, 0.1, 20, [top])
    assert rise.value == pytest.approx(3 * 0.01 / 2, rel=1e-3)


def test_keskars_box():
    """A linear loss is largest at the corner of the box, size (|w| + 1) in each coordinate."""
    params = {'w': jnp.array([1.0, -3.0])}

    def loss(params):
        return 5 + 2 * params['w'][0] - params['w'][1]

    rise = sharpness.keskar(loss, params, 1e-3)
    start = 5 + 2 + 3
    assert rise.value == pytest.approx(100 * (2 * 2e-3 + 4e-3) / (1 + start), rel=1e-3)
    assert rise.value == pytest.approx(rise.one_step)


def relu_loss(params):
    x = jax.random.normal(jax.random.key(5), (50, 6))
    y = jnp.sin(x.sum(axis=1))
    hidden = jax.nn.relu(x @ params['first']['kernel'] + params['first']['bias'][None])
    return jnp.mean((hidden @ params['last']['kernel'][:, 0] - y) ** 2)


def relu_params(scale=1.0):
    """The same function whatever the scale, a power of two."""
    first, last, bias = jax.random.split(jax.random.key(6), 3)
    return {
        'first': {
            'kernel': scale * jax.random.normal(first, (6, 8)),
            'bias': scale * jax.random.normal(bias, (8,)),
        },
        'last': {'kernel': jax.random.normal(last, (8, 1)) / scale},
    }


@pytest.mark.long
def test_rescaling_moves_the_box_and_not_the_adaptive_sharpness():
    """Dinh et al. 2017: the network is the same function."""
    here, there = relu_params(), relu_params(8.0)
    assert relu_loss(here) == relu_loss(there)
    adaptive = jax.jit(lambda params: sharpness.adaptive(relu_loss, params, 0.1).value)
    np.testing.assert_allclose(adaptive(here), adaptive(there), rtol=1e-5)
    box = jax.jit(lambda params: sharpness.keskar(relu_loss, params, 5e-3).value)
    assert box(there) > 1.5 * box(here)
    ball = jax.jit(lambda params: sharpness.sam(relu_loss, params, 0.1).value)
    assert ball(there) > 1.5 * ball(here)


def test_slices_are_the_same_after_rescaling():
    points = jnp.linspace(-1, 1, 9)
    losses = []
    for scale in (1.0, 8.0):
        params = relu_params(scale)
        direction = landscape.random_direction(jax.random.key(1), params)
        losses.append(landscape.line(relu_loss, params, direction, points))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    # a direction that is not normalised is another one
    plain = trees.normal_like(jax.random.key(1), relu_params())
    here = landscape.line(relu_loss, relu_params(), plain, points)
    there = landscape.line(relu_loss, relu_params(8.0), plain, points)
    assert np.abs(here / there - 1).max() > 0.5


def test_the_average_rise_is_half_the_trace():
    params = {'w': jnp.zeros(4)}
    estimate = sharpness.average(bowl, params, 0.1, jax.random.key(0), 400)
    assert abs(estimate.value - 0.005 * VALUES.sum()) < 4 * estimate.standard_error
    # the gradient cancels in pairs: the error is that of the curvature alone
    exact = 0.005 * np.sqrt(2 * (VALUES**2).sum() / 400)
    assert estimate.standard_error == pytest.approx(exact, rel=0.25)
    assert estimate.products == 801


def test_curvature_along_a_direction(dense):
    direction = trees.normal_like(jax.random.key(0), dense.params)
    measured = jax.jit(lambda: sharpness.directional(dense.loss, dense.params, direction))()
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(direction)])
    flat = flat / np.linalg.norm(flat)
    image = dense.matrix @ flat
    assert measured.curvature == pytest.approx(flat @ image, rel=1e-4)
    left = np.linalg.norm(image - (flat @ image) * flat)
    assert measured.residual == pytest.approx(left, rel=1e-4)


def test_what_says_nothing_is_refused():
    params = {'w': jnp.zeros(4)}
    with pytest.raises(ValueError, match='steps: found 0'):
        sharpness.sam(bowl, params, 0.1, 0)
    with pytest.raises(ValueError, match='pairs: found 1'):
        sharpness.average(bowl, params, 0.1, jax.random.key(0), 1)
