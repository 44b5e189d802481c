"""A network small enough that its whole Hessian is known: 1,210 parameters."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from curvature_cases import digits, logits, losses, tanh_network
from jax.flatten_util import ravel_pytree


class Dense(NamedTuple):
    """The network after some training, with its Hessian."""

    losses: Any  # (params, examples) -> [n]
    outputs: Any  # (params, examples) -> logits
    loss: Any  # params -> mean loss
    examples: dict
    params: dict
    matrix: np.ndarray  # d2 L / dw dw, in the order of ravel_pytree
    values: np.ndarray  # its eigenvalues, descending


@pytest.fixture(scope='session')
def dense():
    examples = digits(1024)

    def loss(params):
        return losses(params, examples).mean()

    def step(params, _):
        gradient = jax.grad(loss)(params)
        return jax.tree.map(lambda w, g: w - 0.5 * g, params, gradient), None

    params, _ = jax.jit(lambda start: jax.lax.scan(step, start, None, 300))(tanh_network(0))
    flat, unravel = ravel_pytree(params)
    matrix = np.asarray(jax.jit(jax.hessian(lambda weights: loss(unravel(weights))))(flat))
    matrix = (matrix + matrix.T) / 2
    values = np.linalg.eigvalsh(matrix.astype(np.float64))[::-1]
    return Dense(losses, logits, loss, examples, params, matrix, values)


@pytest.fixture(scope='session')
def dense_product(dense):
    """Products with the Hessian itself: one compiled matrix product."""
    _, unravel = ravel_pytree(dense.params)
    matrix = jnp.asarray(dense.matrix)

    def product(vector):
        flat = ravel_pytree(vector)[0]
        return unravel(jnp.dot(matrix, flat, precision='highest'))

    return product
