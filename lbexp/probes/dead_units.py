"""Which units no example moves any more."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp import optimizers
from lbexp.optimizers._layerwise.masks import Mask
from lbexp.probes import Probe
from lbexp.probes._layers import StackedAxes


class DeadUnitsState(NamedTuple):
    is_alive: dict[str, jax.Array]  # bool [*stack, units] of each layer, since the last row
    is_over: Any  # bool: a row is written: the next update begins anew


def dead_units(layers: Mask = 'matrices', stacked_axes: StackedAxes = None) -> Probe:
    """Share of a layer's units whose incoming weights had a gradient of exactly 0 in every update
    between two rows, [0, 1].

    A ReLU that is off passes no gradient: a unit that is off for every example of these updates,
    or whose outputs reach the loss through such units alone, does not learn. Large rates and
    batches make them; what does not learn is capacity that the number of parameters still counts.
    It may wake up when units below it move its inputs. Activations that are nowhere flat (GELU,
    tanh) give 0.

    A row over few examples overstates: a unit that is on for a share p of the examples is counted
    with probability (1 - p)^n over n of them.

    Cost: one pass over the gradients of these layers at each update.

    Args:
        layers: which parameters, as in optimizers.masks: kernels, whose last axis is that of the
            units.
        stacked_axes: leading axes that count layers, as in optimizers.lars.

    Columns: 'dead_units', over the units of all these layers; and of each, such as
    'dead_units/Dense_0/kernel', an array where layers are stacked.

    Raises:
        ValueError: no parameter is a layer by `layers`, or one of them has no axis for units.

    Source: Lu et al. 2020, arXiv:1903.06733 (dying ReLU); Sokar et al. 2023, arXiv:2302.12902
        (dormant units: theirs are judged by activations, and may be on).
    """

    def init(info):
        alive = jax.eval_shape(
            lambda grads, params: _alive(grads, params, layers, stacked_axes),
            info.grads,
            info.params,
        )
        none = {path: jnp.zeros(units.shape, bool) for path, units in alive.items()}
        return DeadUnitsState(none, jnp.zeros((), bool))

    def update(state, info):
        alive = _alive(info.grads, info.params, layers, stacked_axes)
        for path, earlier in state.is_alive.items():
            alive[path] |= earlier & ~state.is_over
        return DeadUnitsState(alive, info.logging)

    return Probe(init, update, _summary)


def _alive(grads, params, which, stacked_axes):
    """{path: whether a unit's incoming weights have a gradient, [*stack, units]}"""
    mask = jax.tree.leaves(optimizers.masks(which, params, stacked_axes, 'layers'))
    stacks = optimizers.layers(params, stacked_axes)
    alive = {}
    for is_chosen, (path, stack), gradient in zip(
        mask, stacks.items(), jax.tree.leaves(grads), strict=True
    ):
        if not is_chosen:
            continue
        if gradient.ndim - len(stack) < 2:
            raise ValueError(f'layers: found {path}, a vector; allowed: [inputs, units] each')
        inputs = tuple(range(len(stack), gradient.ndim - 1))
        alive[path] = jnp.any(gradient != 0, axis=inputs)
    if not alive:
        raise ValueError(f'layers: found {which!r}; allowed: what some parameters are')
    return alive


def _summary(state):
    columns, dead, count = {}, 0, 0
    for path, alive in state.is_alive.items():
        columns[f'dead_units/{path}'] = jnp.mean(~alive, axis=-1, dtype=jnp.float32)
        dead += jnp.sum(~alive, dtype=jnp.int32)
        count += alive.size
    return {'dead_units': dead * (1 / count), **columns}
