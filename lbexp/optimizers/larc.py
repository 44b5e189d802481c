"""LARC: LARS whose layer rate never exceeds the learning rate."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.adapted_norms import adapted_norms, decayed_norm
from lbexp.optimizers._layerwise.layers import StackedAxes, TrustRatioStats, expand_like
from lbexp.optimizers._layerwise.leaves import (
    LayerNorms,
    add_decayed_weights,
    at_step,
    clip_with_flag,
    flatten_leaves,
    init_buffer,
    initial_stats,
    rate_at_step,
    updated_stats,
)
from lbexp.optimizers._layerwise.masks import Mask
from lbexp.optimizers._layerwise.norms import AxisName
from lbexp.precision import upcast
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
    stats: TrustRatioStats


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
    lazy_decay: Mask = 'tables',
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
        nesterov, decay, lazy_decay, adapt, stacked_axes, axis_name, accumulator_dtype: as in lars.

    Raises:
        ValueError: an unknown mode, a number out of its range; in update, no parameters.
    """

    def init(params):
        return LarcState(
            jnp.zeros((), jnp.int32),
            init_buffer(params, accumulator_dtype),
            initial_stats(params, decay, lazy_decay, adapt, stacked_axes),
        )

    def factor(leaf, weight_norm, gradient_norm, rate, beta):
        """f of the layers of a leaf: shaped to meet it, and as a record."""
        decayed = decayed_norm(leaf, weight_norm, axis_name)
        below = add_decayed_weights(gradient_norm, leaf.is_decayed, beta, decayed) + eps
        local = trust_coefficient * weight_norm / jnp.where(below > 0, below, 1)
        limited = None
        if mode == 'clip':
            # At rate 0 nothing moves, whatever the factor.
            nonzero_rate = jnp.where(jnp.asarray(rate) > 0, rate, 1)
            local, limited = clip_with_flag(local / nonzero_rate, (0.0, 1.0))
        # apex leaves such a layer to the optimizer: factor 1.
        is_usual = (weight_norm > 0) & (gradient_norm > 0)
        ratio, clipped = clip_with_flag(jnp.where(is_usual, local, 1.0), ratio_bounds)
        ratio_of_leaf = expand_like(ratio, leaf.weights)
        if limited is not None:
            clipped = clipped | limited
        return ratio_of_leaf, LayerNorms(weight_norm, gradient_norm, ratio, clipped)

    def update(updates, state, params=None, **extra_args):
        del extra_args
        flat = flatten_leaves(updates, params, decay, lazy_decay, adapt, stacked_axes)
        rate = rate_at_step(learning_rate, state.count)
        beta = at_step(weight_decay, state.count)
        everywhere = range(len(flat.leaves))
        gradients = [leaf.gradient for leaf in flat.leaves]
        norms = adapted_norms(flat.leaves, everywhere, gradients, axis_name)
        factors, layers = {}, []
        for i, (weight_norm, gradient_norm) in norms.items():
            factors[i], record = factor(flat.leaves[i], weight_norm, gradient_norm, rate, beta)
            layers.append(record)

        velocities, changes = [], []
        old_velocities = flat.flatten(state.velocity)
        for i, (leaf, v) in enumerate(zip(flat.leaves, old_velocities, strict=True)):
            step = leaf.add_decayed_weights(upcast(leaf.gradient), beta)
            if i in factors:
                step = factors[i] * step
            velocity = momentum * upcast(v) + step
            velocities.append(velocity.astype(v.dtype))
            if nesterov:
                changes.append(-rate * (momentum * velocity + step))
            else:
                changes.append(-rate * velocity)
        stats = state.stats
        if layers:
            stats = updated_stats(stats, layers, rate)
        return flat.cast(changes), LarcState(state.count + 1, flat.tree(velocities), stats)

    return optax.GradientTransformationExtraArgs(init, update)
