"""Learning rates of single parameters: factors of the updates of an optimizer."""

from collections.abc import Sequence
from typing import Any

import jax
import optax
from optax.contrib import ScheduleFreeState

from lbexp.errors import Refusal
from lbexp.optimizers import masks


def scaled_updates(
    name: str, optimizer: optax.GradientTransformationExtraArgs, factors: Sequence[Sequence[Any]]
) -> optax.GradientTransformationExtraArgs:
    """`optimizer`, whose update of a parameter is multiplied by the factor of the first pattern
    that matches its path; 1 where none does.

    So is a decoupled weight decay in it, as by the learning rate. A trust ratio (LARS, LAMB) is
    computed as without the factor, which multiplies the layer's update: what a learning rate does
    there, too. The state is the optimizer's.

    Args:
        name: of the optimizer, for messages.
        factors: (regular expression, factor); factors may be traced.

    Raises, when it is traced:
        ValueError: an expression that matches no parameter.
        Refusal: an optimizer that keeps averages of the weights itself, which factors would not
            reach.
    """

    def init(params):
        state = optimizer.init(params)
        nodes = jax.tree.leaves(state, is_leaf=_is_average)
        if any(map(_is_average, nodes)):
            raise Refusal(
                f'rates: found {name}, which keeps an average of the weights in its state; '
                'allowed: another optimizer'
            )
        return state

    def update(updates, state, params=None, **extra):
        new_updates, new_state = optimizer.update(updates, state, params, **extra)
        by_parameter = _by_parameter(factors, new_updates)
        return jax.tree.map(_scaled, new_updates, by_parameter), new_state

    return optax.GradientTransformationExtraArgs(init, update)


def _is_average(node):
    return isinstance(node, ScheduleFreeState)


def _by_parameter(factors, tree):
    """The factor of each leaf; None would be no leaf, so 1 is where there is none."""
    of_leaves = [1] * len(jax.tree.leaves(tree))
    for pattern, factor in reversed(factors):
        marks = jax.tree.leaves(masks([pattern], tree, argument='rates'))
        for place, is_marked in enumerate(marks):
            if is_marked:
                of_leaves[place] = factor
    return jax.tree.unflatten(jax.tree.structure(tree), of_leaves)


def _scaled(update, factor):
    # a parameter without a factor keeps its program
    if isinstance(factor, int) and factor == 1:
        return update
    # A traced factor is float32, which would widen an update of bfloat16.
    return (update * factor).astype(update.dtype)
