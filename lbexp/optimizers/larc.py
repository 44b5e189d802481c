"""LARC: LARS whose layer rate never exceeds the learning rate."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.backend import in_common
from lbexp.optimizers._layerwise.layers import LayerFacts, StackedAxes, spread, wide
from lbexp.optimizers._layerwise.leaves import (
    adapted_facts,
    bounded,
    buffer,
    leaves,
    no_facts,
    value,
    with_decay,
)
from lbexp.optimizers._layerwise.masks import Mask
from lbexp.optimizers._layerwise.norms import AxisName, pairs
from lbexp.ranges import (
    Bounds,
    Dtype,
    Fraction,
    NonNegative,
    NonNegativeSchedule,
    Positive,
    checked,
)


class LarcState(NamedTuple):
    count: jax.Array  # int32, updates done
    velocity: Any  # like the parameters
    facts: LayerFacts


@checked
def larc(
    learning_rate: NonNegativeSchedule,
    weight_decay: NonNegativeSchedule = 0.0,
    momentum: Fraction = 0.9,
    trust_coefficient: Positive = 0.02,
    eps: NonNegative = 1e-8,
    mode: Literal['clip', 'scale'] = 'clip',
    nesterov: bool = False,
    ratio_bounds: Bounds | None = None,
    decay: Mask = 'matrices',
    adapt: Mask = 'matrices',
    stacked_axes: StackedAxes = None,
    axis_name: AxisName = None,
    accumulator_dtype: Dtype | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Layer-wise adaptive rate control (NVIDIA's apex.parallel.LARC; Ginsburg, Gitman, You 2018).

        local = trust_coefficient |w| / (|g| + weight_decay |w| + eps)
        clip:   f = min(local / learning_rate, 1);   scale: f = local
        v <- momentum v + f (g + weight_decay w);  w <- w - learning_rate v

    In mode 'clip' the layer's rate is min(local, learning_rate). Where |w| or |g| is 0, f = 1. apex
    then drops the weight decay too; here it stays, so that a parameter without a gradient decays as
    under SGD.

    Args:
        learning_rate: >= 0, or a function of the updates done.
        weight_decay: >= 0 [1 / learning rate], or a function of the updates done.
        momentum: in [0, 1).
        trust_coefficient: > 0.
        eps: >= 0 [gradient units].
        mode: 'clip', 'scale'.
        ratio_bounds: (low, high) for f.
        nesterov, decay, adapt, stacked_axes, axis_name, accumulator_dtype: as in lars.

    Raises:
        ValueError: an unknown mode, a number out of its range; in update, no parameters.
    """

    def init(params):
        count = jnp.zeros((), jnp.int32)
        return LarcState(
            count, buffer(params, accumulator_dtype), no_facts(params, decay, adapt, stacked_axes)
        )

    def update(updates, state, params=None, **extra_args):
        del extra_args
        these = leaves(updates, params, decay, adapt, stacked_axes)
        rate, beta = in_common(value(learning_rate, state.count)), value(weight_decay, state.count)
        at = [i for i, adapted in enumerate(these.adapt) if adapted]
        weights, gradients = [these.weights[i] for i in at], [these.gradients[i] for i in at]
        found = pairs(weights, gradients, [these.ranks[i] for i in at], axis_name)
        factors, raw = {}, []
        for i, (weight_norm, norm) in zip(at, found, strict=True):
            below = with_decay(norm, these.decay[i], beta, weight_norm) + eps
            local = trust_coefficient * weight_norm / jnp.where(below > 0, below, 1)
            if mode == 'clip':
                # At rate 0 nothing moves, whatever the factor.
                local, limited = bounded(
                    local / jnp.where(jnp.asarray(rate) > 0, rate, 1), (0.0, 1.0)
                )
            factor, clipped = bounded(
                jnp.where((weight_norm > 0) & (norm > 0), local, 1.0), ratio_bounds
            )
            factors[i] = spread(factor, these.weights[i])
            raw.append(
                (weight_norm, norm, factor, clipped | limited if mode == 'clip' else clipped)
            )

        velocities, changes = [], []
        old = these.structure.flatten_up_to(state.velocity)
        for i, (g, w, d, v) in enumerate(
            zip(these.gradients, these.weights, these.decay, old, strict=True)
        ):
            step = with_decay(wide(g), d, beta, wide(w))
            step = factors[i] * step if i in factors else step
            new = momentum * wide(v) + step
            velocities.append(new.astype(v.dtype))
            changes.append(-rate * (momentum * new + step if nesterov else new))
        facts = (
            adapted_facts(state.facts, *map(list, zip(*raw, strict=True)), rate)
            if raw
            else state.facts
        )
        return these.cast(changes), LarcState(state.count + 1, these.tree(velocities), facts)

    return optax.GradientTransformationExtraArgs(init, update)
