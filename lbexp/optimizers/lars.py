"""LARS: momentum whose step is, in every layer, a fixed fraction of the layer's weights."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.backend import in_common
from lbexp.optimizers._layerwise.blocks import after, blocks
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


class LarsState(NamedTuple):
    count: jax.Array  # int32, updates done
    velocity: Any  # like the parameters
    facts: LayerFacts


@checked
def lars(
    learning_rate: NonNegativeSchedule,
    weight_decay: NonNegativeSchedule = 5e-4,
    momentum: Fraction = 0.9,
    trust_coefficient: Positive = 0.001,
    eps: NonNegative = 0.0,
    momentum_form: Literal['paper', 'outside', 'average'] = 'paper',
    denominator: Literal['sum_of_norms', 'norm_of_sum'] = 'sum_of_norms',
    nesterov: bool = False,
    ratio_bounds: Bounds | None = None,
    zero_ratio: NonNegative | None = None,
    decay: Mask = 'matrices',
    adapt: Mask = 'matrices',
    stacked_axes: StackedAxes = None,
    axis_name: AxisName = None,
    accumulator_dtype: Dtype | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Layer-wise adaptive rate scaling (You, Gitman, Ginsburg 2017, arXiv:1708.03888, Algorithm 1).

        ratio = trust_coefficient |w| / (|g| + weight_decay |w| + eps)
        v <- momentum v + learning_rate ratio (g + weight_decay w);  w <- w - v

    The learning rate is inside the buffer, so an old gradient keeps the rate it came with. The
    variants: SimCLR and optax: denominator='norm_of_sum', |g + weight_decay w|; at equilibrium,
    where g = -weight_decay w, it grows without bound. timm: momentum_form='outside', v <- momentum
    v + ratio (...), w <- w - learning_rate v. LARS of the LAMB paper (arXiv:1904.00962, Alg. 1):
    momentum_form='average', m <- momentum m + (1 - momentum) (g + weight_decay w), w <- w -
    learning_rate |w| / |m| m, no trust coefficient. MLPerf: the default with zero_ratio=1.

    Args:
        learning_rate: >= 0, or a function of the updates done; of the order of 1 to 30 with the
            default coefficient.
        weight_decay: >= 0 [1 / learning rate], or a function of the updates done.
        momentum: in [0, 1).
        trust_coefficient: > 0, length of a step in units of the weights' length, per unit of
            learning rate.
        eps: >= 0, added to the denominator [gradient units].
        momentum_form: 'paper', 'outside', 'average'.
        denominator: 'sum_of_norms', 'norm_of_sum'.
        nesterov: step along momentum v + (the newest term) instead of v.
        ratio_bounds: (low, high) for the ratio.
        zero_ratio: the ratio of a layer whose weights or gradients (norm_of_sum: decayed gradients)
            are all 0. None: trust_coefficient for weights of 0, where the formula says 0 and
            freezes them; the formula's, trust_coefficient / weight_decay, for gradients of 0.
            MLPerf, SimCLR and optax: 1, for weights of 0 1 / trust_coefficient times a normal step.
        decay, adapt: which parameters (see masks.masks). What is not adapted has ratio 1.
        stacked_axes: leading axes that count layers (see layers.stacked).
        axis_name: mesh axes of a shard_map over which parameters are split.
        accumulator_dtype: of the velocity; None: the parameters'.

    Raises:
        ValueError: an unknown variant, a number out of its range; in update, no parameters.
    """
    if nesterov and momentum_form == 'average':
        raise ValueError(
            "nesterov: found True with momentum_form='average'; allowed: 'paper', 'outside'"
        )
    coefficient = 1.0 if momentum_form == 'average' else trust_coefficient
    at_zero = coefficient if zero_ratio is None else zero_ratio

    def init(params):
        count = jnp.zeros((), jnp.int32)
        return LarsState(
            count, buffer(params, accumulator_dtype), no_facts(params, decay, adapt, stacked_axes)
        )

    def update(updates, state, params=None, **extra_args):
        del extra_args
        these = leaves(updates, params, decay, adapt, stacked_axes)
        rate, given = in_common(value(learning_rate, state.count)), value(weight_decay, state.count)
        old = these.structure.flatten_up_to(state.velocity)
        summed = denominator == 'sum_of_norms' and momentum_form != 'average'
        velocities, changes, raw, found = [], [], [], []
        # Summed norms need no array of their own: blocks would only add conditionals.
        for block in [range(len(old))] if summed else blocks(these.weights, axis_name):
            beta, steps, ratios = after(found, given), {}, {}
            for i in block:
                g, w = wide(these.gradients[i]), wide(these.weights[i])
                steps[i] = with_decay(g, these.decay[i], beta, w)
                if momentum_form == 'average':
                    steps[i] = momentum * wide(old[i]) + (1 - momentum) * steps[i]
            at = [i for i in block if these.adapt[i]]
            directions = [these.gradients[i] if summed else steps[i] for i in at]
            new = pairs(
                [these.weights[i] for i in at],
                directions,
                [these.ranks[i] for i in at],
                axis_name,
                summed,
            )
            found = new[0] if new else found
            for i, (weight_norm, norm) in zip(at, new, strict=True):
                full = with_decay(norm, these.decay[i], beta, weight_norm) if summed else norm
                full = full + eps
                ratio = coefficient * weight_norm / jnp.where(full > 0, full, 1)
                usual = (weight_norm > 0) & ((full if zero_ratio is None else norm) > 0)
                ratio, clipped = bounded(jnp.where(usual, ratio, at_zero), ratio_bounds)
                ratios[i] = spread(ratio, these.weights[i])
                raw.append((weight_norm, norm, ratio, clipped))

            for i, step in steps.items():
                scaled = ratios[i] * step if i in ratios else step
                if momentum_form == 'average':
                    velocities.append(step.astype(old[i].dtype))
                    changes.append(-rate * scaled)
                    continue
                scaled = rate * scaled if momentum_form == 'paper' else scaled
                velocity = momentum * wide(old[i]) + scaled
                change = momentum * velocity + scaled if nesterov else velocity
                velocities.append(velocity.astype(old[i].dtype))
                changes.append(-change if momentum_form == 'paper' else -rate * change)
        facts = (
            adapted_facts(state.facts, *map(list, zip(*raw, strict=True)), rate)
            if raw
            else state.facts
        )
        return these.cast(changes), LarsState(state.count + 1, these.tree(velocities), facts)

    return optax.GradientTransformationExtraArgs(init, update)
