"""LARS: momentum whose step is, in every layer, a fixed fraction of the layer's weights."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.adapted_norms import adapted_norms, decayed_norm
from lbexp.optimizers._layerwise.blocks import blocks, sequence_after
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


class LarsState(NamedTuple):
    count: jax.Array  # int32, updates done
    velocity: Any  # like the parameters
    stats: TrustRatioStats


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
    lazy_decay: Mask = 'tables',
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

    With denominator='norm_of_sum', zero_ratio=1, decay='all', lazy_decay='none' and adapt='all' it
    is

        optax.chain(
            optax.add_decayed_weights(weight_decay),
            optax.scale_by_trust_ratio(trust_coefficient=trust_coefficient),
            optax.scale_by_learning_rate(learning_rate),
            optax.trace(momentum),
        )

    which reads and writes every array once a stage; here they are read once for all norms and once
    for the step.

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
        lazy_decay: which parameters are tables, of which a row [stack..., row] is decayed only in
            updates in which it has a gradient: in g + weight_decay w, and in the denominator, whose
            weight_decay |w| is that of these rows; the numerator is |w| of all. 'none': all rows,
            as elsewhere. Only the decay is sparse: the velocity of a row, earlier decay in it,
            moves it without a gradient. In a shard_map that splits rows, a device's part of a row
            is a row.

    Raises:
        ValueError: an unknown variant, a number out of its range; in update, no parameters.
    """
    if nesterov and momentum_form == 'average':
        raise ValueError(
            "nesterov: found True with momentum_form='average'; allowed: 'paper', 'outside'"
        )
    is_average = momentum_form == 'average'
    is_summed = denominator == 'sum_of_norms' and not is_average
    coefficient = trust_coefficient
    if is_average:
        coefficient = 1.0  # the LAMB paper's LARS has none
    at_zero = zero_ratio
    if at_zero is None:
        at_zero = coefficient

    def init(params):
        return LarsState(
            jnp.zeros((), jnp.int32),
            init_buffer(params, accumulator_dtype),
            initial_stats(params, decay, lazy_decay, adapt, stacked_axes),
        )

    def direction(leaf, velocity, beta):
        """g + beta w; 'average': its running mean."""
        step = leaf.add_decayed_weights(upcast(leaf.gradient), beta)
        if is_average:
            step = momentum * upcast(velocity) + (1 - momentum) * step
        return step

    def trust_ratio(leaf, weight_norm, norm, beta):
        """The ratio of the layers of a leaf: shaped to meet it, and as a record; `norm` of g, or of
        the direction."""
        below = norm
        if is_summed:
            decayed = decayed_norm(leaf, weight_norm, axis_name)
            below = add_decayed_weights(norm, leaf.is_decayed, beta, decayed)
        below = below + eps
        ratio = coefficient * weight_norm / jnp.where(below > 0, below, 1)
        # Elsewhere the formula is 0 / 0, or freezes a layer of zeros for ever.
        divisor = norm
        if zero_ratio is None:
            divisor = below
        is_usual = (weight_norm > 0) & (divisor > 0)
        ratio, clipped = clip_with_flag(jnp.where(is_usual, ratio, at_zero), ratio_bounds)
        return expand_like(ratio, leaf.weights), LayerNorms(weight_norm, norm, ratio, clipped)

    def move(step, ratio, velocity, rate):
        """(change of the weights, new velocity); ratio None: 1."""
        scaled = step
        if ratio is not None:
            scaled = ratio * step
        if is_average:
            return -rate * scaled, step
        # Inside the buffer: an old gradient keeps the rate that it came with.
        if momentum_form == 'paper':
            scaled = rate * scaled
        moved = momentum * upcast(velocity) + scaled
        change = moved
        if nesterov:
            change = momentum * moved + scaled
        if momentum_form == 'paper':
            return -change, moved
        return -rate * change, moved

    def update(updates, state, params=None, **extra_args):
        del extra_args
        flat = flatten_leaves(updates, params, decay, lazy_decay, adapt, stacked_axes)
        rate = rate_at_step(learning_rate, state.count)
        beta_now = at_step(weight_decay, state.count)
        old = flat.flatten(state.velocity)
        weights = [leaf.weights for leaf in flat.leaves]
        gradients = [leaf.gradient for leaf in flat.leaves]
        parts = [range(len(weights))]
        # Summed norms need no array of their own: blocks would only add conditionals.
        if not is_summed:
            parts = blocks(weights, axis_name)
        velocities, changes, layers, last_norms = [], [], [], ()
        for block in parts:
            beta = sequence_after(last_norms, beta_now)
            steps = {i: direction(flat.leaves[i], old[i], beta) for i in block}
            if is_summed:
                norms = adapted_norms(flat.leaves, block, gradients, axis_name)
            else:
                # Steps are computed, not stored: their squares are summed where they are made.
                norms = adapted_norms(flat.leaves, block, steps, axis_name, stored=False)
            last_norms = next(iter(norms.values()), last_norms)
            ratios = {}
            for i, (weight_norm, norm) in norms.items():
                ratios[i], record = trust_ratio(flat.leaves[i], weight_norm, norm, beta)
                layers.append(record)
            for i, step in steps.items():
                change, velocity = move(step, ratios.get(i), old[i], rate)
                changes.append(change)
                velocities.append(velocity.astype(old[i].dtype))
        stats = state.stats
        if layers:
            stats = updated_stats(stats, layers, rate)
        return flat.cast(changes), LarsState(state.count + 1, flat.tree(velocities), stats)

    return optax.GradientTransformationExtraArgs(init, update)
