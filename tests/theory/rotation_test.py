"""Rotation at equilibrium, beside random walks of a vector of which only the direction matters."""

import math

import numpy as np
import pytest

from lbexp.theory.rotation import (
    adamw_rotation,
    lamb_rotation,
    lars_rotation,
    momentum_rotation,
)

DIMENSION = 1000


def heavy_ball(g, w, state, rate, decay, beta):
    state['m'] = beta * state.get('m', 0) + g + decay * w
    return rate * state['m']


def lars(g, w, state, rate, decay, beta):
    length = np.linalg.norm(w)
    ratio = length / (np.linalg.norm(g) + decay * length)
    state['m'] = beta * state.get('m', 0) + rate * ratio * (g + decay * w)
    return state['m']


def adam(g, w, state, rate, decay, beta):
    t = state['t'] = state.get('t', 0) + 1
    state['m'] = beta * state.get('m', 0) + (1 - beta) * g
    state['v'] = 0.999 * state.get('v', 0) + 0.001 * g**2
    root = np.sqrt(state['v'] / (1 - 0.999**t))
    return rate * (state['m'] / (1 - beta**t) / root + decay * w)


def lamb(g, w, state, rate, decay, beta):
    step = adam(g, w, state, 1.0, decay, beta)
    return rate * np.linalg.norm(w) / np.linalg.norm(step) * step


def angle(optimizer, rate, decay, beta, updates=3000):
    """Root mean square angle over the second half of the walk; gradients are independent,
    orthogonal to w and as long as 1 / |w|."""
    draws = np.random.default_rng(1)
    w = draws.standard_normal(DIMENSION) / math.sqrt(DIMENSION)
    state, squares = {}, []
    for _ in range(updates):
        length = np.linalg.norm(w)
        g = draws.standard_normal(DIMENSION) / math.sqrt(DIMENSION)
        g = (g - (g @ w) / length**2 * w) / length
        new = w - optimizer(g, w, state, rate, decay, beta)
        along = new @ w / length
        across = np.linalg.norm(new - along / length * w)
        squares.append(math.atan2(across, along) ** 2)
        w = new
    return math.sqrt(np.mean(squares[updates // 2 :]))


@pytest.mark.parametrize(
    'optimizer, numbers, expected, tolerance',
    [
        (heavy_ball, (0.2, 0.01, 0.0), momentum_rotation(0.2, 0.01), 0.005),
        (heavy_ball, (0.02, 0.1, 0.9), momentum_rotation(0.02, 0.1, 0.9), 0.01),
        (adam, (0.02, 0.1, 0.9), adamw_rotation(0.02, 0.1, 0.9), 0.03),
        (lars, (0.03, 0.01, 0.9), lars_rotation(0.03, 0.9), 0.01),
        (lars, (0.02, 0.3, 0.5), lars_rotation(0.02, 0.5), 0.01),
        (lamb, (0.03, 0.1, 0.9), lamb_rotation(0.03), 0.002),
    ],
)
def test_random_walks_turn_as_fast(optimizer, numbers, expected, tolerance):
    measured = angle(optimizer, *numbers)
    assert measured == pytest.approx(expected, rel=tolerance)


def test_decay_slows_lars():
    """Without the share of decay in the length of a step, it would be eta / sqrt(1 - beta^2)."""
    assert lars_rotation(0.03, 0.9) < 0.9 * 0.03 / math.sqrt(1 - 0.81)
    assert lars_rotation(1e-6, 0.9) == pytest.approx(1e-6 / math.sqrt(1 - 0.81), rel=1e-4)


@pytest.mark.parametrize(
    'function, numbers, name',
    [
        (momentum_rotation, (0.0, 0.1), 'learning_rate'),
        (momentum_rotation, (0.1, 0.0), 'weight_decay'),
        (adamw_rotation, (0.1, 0.1, 1.0), 'momentum'),
        (lars_rotation, (0.1, -0.1), 'momentum'),
        (lamb_rotation, (2.0,), 'learning_rate'),
    ],
)
def test_ranges(function, numbers, name):
    with pytest.raises(ValueError, match=name):
        function(*numbers)
