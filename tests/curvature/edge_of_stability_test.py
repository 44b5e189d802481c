"""The edge of stability, from weights to eigenvalue: full-batch gradient descent sharpens until
rate x top eigenvalue / 2 is 1, and stays there (Cohen et al. 2021, arXiv:2103.00065)."""

import jax
import jax.numpy as jnp
import numpy as np
from curvature_cases import digits, logits, tanh_network

from lbexp.curvature import lanczos, operators

RATE, INTERVAL = 0.2, 150


def test_gradient_descent_settles_at_the_edge():
    examples = digits(512)
    targets = jax.nn.one_hot(examples['label'], 10)

    def loss(params):
        return jnp.mean(jnp.sum((logits(params, examples) - targets) ** 2, axis=1)) / 2

    def step(params, _):
        gradient = jax.grad(loss)(params)
        return jax.tree.map(lambda w, g: w - RATE * g, params, gradient), None

    def measure(params, key):
        product = operators.hessian_product(loss, params)
        ends = lanczos.extremes(product, params, key, 20, 1)
        return ends.top[0], ends.top_residuals[0]

    def interval(params, key):
        params, _ = jax.lax.scan(step, params, None, INTERVAL)
        return params, measure(params, key)

    @jax.jit
    def trained(params, key):
        start = measure(params, key)
        _, later = jax.lax.scan(interval, params, jax.random.split(key, 7))
        return start, later

    params = jax.tree.map(lambda leaf: leaf / 4, tanh_network(0, (64, 24, 10)))
    start, (tops, residuals) = trained(params, jax.random.key(0))
    assert RATE * start[0] / 2 < 0.5
    assert (residuals < 0.02 * tops).all()
    stability = RATE * np.asarray(tops) / 2
    assert (abs(stability[2:] - 1) < 0.1).all(), stability
