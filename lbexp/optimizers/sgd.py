"""Stochastic gradient descent."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers import ranges
from lbexp.optimizers._layerwise.backend import in_common
from lbexp.optimizers._layerwise.layers import wide
from lbexp.optimizers._layerwise.leaves import value


class SgdState(NamedTuple):
    count: jax.Array  # int32, updates done


def sgd(learning_rate: Any) -> optax.GradientTransformationExtraArgs:
    """w <- w - learning_rate g (Robbins and Monro 1951).

    Args:
        learning_rate: >= 0, or a function of the updates done.

    Raises:
        ValueError: a number out of its range.
    """
    ranges.at_least_0(learning_rate=learning_rate)

    def init(params):
        del params
        return SgdState(jnp.zeros((), jnp.int32))

    def update(updates, state, params=None, **extra_args):
        del params, extra_args
        rate = in_common(value(learning_rate, state.count))
        return jax.tree.map(lambda g: (-rate * wide(g)).astype(g.dtype), updates), SgdState(state.count + 1)

    return optax.GradientTransformationExtraArgs(init, update)
