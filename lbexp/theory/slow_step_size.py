"""Proposition 1: how far the slow weights should move towards the fast ones."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.theory.limits import require


def slow_step_size(slow: Any, fast: Any, curvature: Any, optimum: Any) -> Any:
    """The slow step size that minimises a quadratic on the line from slow to fast weights.

        alpha* = (s - x*)^T A (s - x) / ((s - x)^T A (s - x))

    L(alpha) = 1/2 (s - x* + alpha (x - s))^T A (...) is a parabola in alpha; dL/dalpha = 0 gives
    alpha*. It is 1 where the two coincide, as every step size is then optimal.

    Args:
        slow: s, pytree: weights at the start of the cycle.
        fast: x, pytree: weights after k updates.
        curvature: diagonal of A, pytree like slow; or one symmetric matrix [n, n] when the weights
            are one vector [n].
        optimum: x*, pytree like slow.

    Source: Zhang, Lucas, Ba, Hinton 2019, arXiv:1907.08610, Proposition 1.
    """
    # Path and curvature in units of their largest entries, which alpha* forgets but for one length.
    direction, length = _scaled(_difference(slow, fast))
    bent, _ = _scaled(_apply(curvature, direction))  # A d
    to_optimum = _difference(slow, optimum)
    numerator = _dot(to_optimum, bent)
    return _ratio(numerator, _dot(direction, bent), length)


def estimated_slow_step_size(
    slow: Any, fast: Any, curvature: Any, gradient: Any, at: Any = None, low: Any = 0.0
) -> Any:
    """The paper's cheap estimate of alpha*, from one gradient and a diagonal curvature.

        x* is taken to be v - A^-1 g(v); then, with d = s - x,
        alpha = ((s - v)^T A d + g^T d) / (d^T A d), clipped to [low, 1]

    A^-1 cancels against A, so coordinates without curvature do no harm. Exact on a quadratic when A
    is its Hessian and g its true gradient at v. A minibatch gradient adds noise of variance d^T
    Sigma d / B to the numerator, hence the clip.

    Args:
        slow, fast: s and x, pytrees, as in slow_step_size.
        curvature: diagonal, >= 0, pytree like fast: Adam's second moment in the paper.
        gradient: g, pytree like fast.
        at: v, where the gradient was taken; None: at the fast weights.
        low: smallest step allowed, in [0, 1].

    Source: arXiv:1907.08610, Section 3.1 and Algorithm 2.
    """
    is_fraction = (jnp.asarray(low) >= 0) & (jnp.asarray(low) <= 1)
    require('low', low, is_fraction, '0 <= low <= 1')
    if at is None:
        at = fast
    direction, length = _scaled(_difference(slow, fast))
    bent, size = _scaled(_apply(curvature, direction))  # A d
    behind = _difference(slow, at)
    # In units of the bent direction's size, as the other products are.
    slope = _dot(gradient, direction) / jnp.where(size > 0, size, 1.0)
    numerator = _dot(behind, bent) + slope
    step_size = _ratio(numerator, _dot(direction, bent), length)
    return jnp.clip(step_size, low, 1.0)


def _difference(a, b):
    return jax.tree.map(jnp.subtract, a, b)


def _scaled(tree):
    """The tree over its largest absolute entry, and that entry: squares of small numbers are not 0
    then."""
    peaks = [jnp.max(jnp.abs(leaf)) for leaf in jax.tree.leaves(tree)]
    size = jnp.max(jnp.stack(peaks))
    divisor = jnp.where(size > 0, size, 1.0)
    return jax.tree.map(lambda leaf: leaf / divisor, tree), size


def _apply(curvature, path):
    """A of a path: A is a matrix, or a diagonal."""
    leaves = jax.tree.leaves(curvature)
    is_matrix = len(leaves) == 1 and leaves[0].ndim == 2
    if is_matrix and jax.tree.leaves(path)[0].ndim == 1:
        # By default an accelerator would round the factors.
        matmul = partial(jnp.matmul, precision='highest')
        return jax.tree.map(matmul, curvature, path)
    return jax.tree.map(jnp.multiply, curvature, path)


def _dot(a, b):
    products = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
    return sum(jax.tree.leaves(products))


def _ratio(top, bottom, length):
    """top / (length bottom); 1 on a line without length or curvature."""
    flat = (bottom <= 0) | (length <= 0)
    safe_bottom = jnp.where(flat, 1.0, bottom)
    safe_length = jnp.where(flat, 1.0, length)
    return jnp.where(flat, 1.0, top / safe_bottom / safe_length)
