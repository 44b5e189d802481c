"""Stochastic gradient descent."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.leaves import dtypes_from, rate_at_step
from lbexp.precision import upcast
from lbexp.ranges import NonNegativeSchedule, checked


class SgdState(NamedTuple):
    count: jax.Array  # int32, updates done


@checked
def sgd(learning_rate: NonNegativeSchedule) -> optax.GradientTransformationExtraArgs:
    """w <- w - learning_rate g (Robbins and Monro 1951).

    Args:
        learning_rate: >= 0, or a function of the updates done.

    Raises:
        ValueError: a number out of its range.
    """

    def init(params):
        del params
        return SgdState(jnp.zeros((), jnp.int32))

    def update(updates, state, params=None, **extra_args):
        del extra_args
        rate = rate_at_step(learning_rate, state.count)

        def change(g, w):
            return (-rate * upcast(g)).astype(w.dtype)

        changes = jax.tree.map(change, updates, dtypes_from(updates, params))
        return changes, SgdState(state.count + 1)

    return optax.GradientTransformationExtraArgs(init, update)
