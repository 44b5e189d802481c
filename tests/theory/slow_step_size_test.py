"""Proposition 1 against a search along the line, and against the optimizer that uses it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize_scalar

from lbexp import optimizers
from lbexp.theory.slow_step_size import estimated_slow_step_size, slow_step_size


@pytest.fixture(autouse=True, scope='module')
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def problem():
    generator = np.random.default_rng(0)
    root = generator.normal(size=(6, 6))
    slow, fast, optimum = generator.normal(size=(3, 6))
    return root @ root.T, slow, fast, optimum


def best_on_line(a, slow, fast, optimum):
    def loss(alpha):
        x = slow + alpha * (fast - slow) - optimum
        return x @ a @ x / 2

    return minimize_scalar(loss, tol=1e-14).x


def test_full_and_diagonal_curvature(problem):
    a, slow, fast, optimum = problem
    np.testing.assert_allclose(
        slow_step_size(slow, fast, a, optimum), best_on_line(a, slow, fast, optimum), rtol=1e-6
    )
    diagonal = np.diag(np.diag(a))
    found = slow_step_size(slow, fast, np.diag(a), optimum)
    np.testing.assert_allclose(found, best_on_line(diagonal, slow, fast, optimum), rtol=1e-6)


def test_trees(problem):
    a, *points = problem

    def cut(x):
        return {'a': jnp.asarray(x[:4]).reshape(2, 2), 'b': jnp.asarray(x[4:])}

    found = slow_step_size(*(cut(x) for x in (points[0], points[1], np.diag(a), points[2])))
    np.testing.assert_allclose(
        found, slow_step_size(points[0], points[1], np.diag(a), points[2]), rtol=1e-13
    )


def test_estimate_is_exact_on_a_diagonal_quadratic(problem):
    a, slow, fast, optimum = problem
    a = np.diag(a)
    exact = slow_step_size(slow, slow + 0.1 * (optimum - slow) + 0.02, a, optimum)
    fast = slow + 0.1 * (optimum - slow) + 0.02
    for at in (None, fast + 0.3):
        where = fast if at is None else at
        found = estimated_slow_step_size(slow, fast, a, a * (where - optimum), at, low=0.0)
        np.testing.assert_allclose(found, np.clip(exact, 0, 1), rtol=1e-12)
    # Inside the clip, so that the equality above says something.
    fast = slow + 3 * (optimum - slow)
    found = estimated_slow_step_size(slow, fast, a, a * (fast - optimum))
    np.testing.assert_allclose(found, 1 / 3, rtol=1e-12)


def test_clip_and_standing_still():
    slow, a = np.zeros(2), np.ones(2)
    assert estimated_slow_step_size(slow, slow + 10.0, a, np.full(2, 9.9), low=0.2) == 0.2
    assert estimated_slow_step_size(slow, slow + 0.1, a, np.full(2, -9.9), low=0.2) == 1.0
    assert estimated_slow_step_size(slow, slow, a, np.ones(2)) == 1.0
    assert slow_step_size(slow, slow, a, np.ones(2)) == 1.0
    with pytest.raises(ValueError, match=r'low: found 1.5'):
        estimated_slow_step_size(slow, slow, a, a, low=1.5)


def test_lookahead_moves_by_the_estimate():
    """optimizers.lookahead(slow_step_size='optimal') has its own transcription: the two agree."""
    a, optimum = jnp.array([1.0, 0.3, 0.05]), jnp.array([1.0, -2.0, 0.5])
    optimizer = optimizers.lookahead(
        optax.sgd(1.9, 0.5), k=3, slow_step_size='optimal', curvature_decay=None
    )
    slow = x = jnp.zeros(3)
    state = optimizer.init(x)
    inner = optax.sgd(1.9, 0.5)
    fast, inner_state = x, inner.init(x)
    for _ in range(3):
        g = a * (x - optimum)
        updates, state = optimizer.update(g, state, x, curvature=a)
        x = optax.apply_updates(x, updates)
        at, g = fast, a * (fast - optimum)
        updates, inner_state = inner.update(g, inner_state)
        fast = optax.apply_updates(fast, updates)
    alpha = estimated_slow_step_size(slow, fast, a, g, at, low=0.2)
    assert 0.2 < alpha < 1
    np.testing.assert_allclose(x, slow + alpha * (fast - slow), rtol=1e-10)
    np.testing.assert_allclose(alpha, slow_step_size(slow, fast, a, optimum), rtol=1e-10)
