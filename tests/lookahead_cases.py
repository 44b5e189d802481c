"""What the tests of Lookahead share: a quadratic, heavy ball on it, and Algorithm 1 in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lbexp import optimizers

RATE, DECAY, K, ALPHA = 0.1, 0.9, 3, 0.4
CURVATURE = np.array([1.0, 0.3, 4.0])
START = np.array([2.0, -2.0, 0.5])


def momentum_sgd():
    return optax.sgd(RATE, momentum=DECAY)


def gradient(params):
    return jax.tree.map(
        lambda w: jnp.broadcast_to(CURVATURE, w.shape).astype(w.dtype) * (w - 1), params
    )


def train(tx, steps, params=None, **extra_args):
    """Weights, evaluation weights and states after each step."""
    params = {'w': jnp.asarray(START)} if params is None else params
    state = tx.init(params)
    update = jax.jit(lambda grads, state, params: tx.update(grads, state, params, **extra_args))
    rows = []
    for _ in range(steps):
        updates, state = update(gradient(params), state, params)
        params = optax.apply_updates(params, updates)
        rows.append((params, optimizers.evaluation_params(state, params), state))
    return rows


def reference(steps, momentum, k=K, alpha=ALPHA):
    """Algorithm 1 around heavy ball, in NumPy: [(fast, slow, buffer)] after each step."""
    slow, fast, m, m_last, rows = START, START, np.zeros(3), np.zeros(3), []
    for t in range(1, steps + 1):
        m = DECAY * m + CURVATURE * (fast - 1)
        fast = fast - RATE * m
        if t % k == 0:
            slow = slow + alpha * (fast - slow)
            fast = slow
            if momentum == 'reset':
                m = np.zeros(3)
            if momentum == 'interpolate':
                m = m_last = alpha * m + (1 - alpha) * m_last
        rows.append((fast, slow, m))
    return rows
