"""LAMB: Adam's direction, with every layer's step as long as a fraction of the layer's weights."""

from typing import Any, NamedTuple

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
    grown,
    leaves,
    no_facts,
    root,
    second_moment,
    value,
    with_decay,
)
from lbexp.optimizers._layerwise.masks import Mask
from lbexp.optimizers._layerwise.norms import AxisName, norms, pairs
from lbexp.ranges import (
    Bounds,
    Dtype,
    Fraction,
    NonNegative,
    NonNegativeSchedule,
    Positive,
    checked,
)


class LambState(NamedTuple):
    count: jax.Array  # int32, updates done
    mu: Any  # mean of gradients, like the parameters
    nu: Any  # mean of squared gradients, like the parameters, float32 at least
    facts: LayerFacts


@checked
def lamb(
    learning_rate: NonNegativeSchedule,
    b1: Fraction = 0.9,
    b2: Fraction = 0.999,
    eps: NonNegative = 1e-6,
    weight_decay: NonNegativeSchedule = 0.01,
    bias_correction: bool = True,
    normalize_gradients: bool = False,
    max_gradient_norm: Positive | None = None,
    weight_norm_bounds: Bounds | None = None,
    ratio_bounds: Bounds | None = None,
    zero_ratio: NonNegative = 1.0,
    decay: Mask = 'matrices',
    adapt: Mask = 'matrices',
    stacked_axes: StackedAxes = None,
    axis_name: AxisName = None,
    accumulator_dtype: Dtype | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Layer-wise Adam (You et al. 2020, arXiv:1904.00962v5, Algorithm 2).

        m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
        u = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + weight_decay w
        w <- w - learning_rate phi(|w|) / |u| u,  phi(z) = min(max(z, low), high)

    The variants: version 3 of the paper (and NVIDIA's Transformer-XL) has bias_correction=False;
    NVLAMB divides all gradients by their common norm first: normalize_gradients=True, as it is
    described, or max_gradient_norm=1, as it is implemented (only where the norm is above it). optax
    adapts and decays every parameter: decay='all', adapt='all'.

    Args:
        learning_rate: >= 0, length of a step in units of the weights' length; or a function of the
            updates done.
        b1, b2: in [0, 1).
        eps: >= 0, outside the root [gradient units].
        weight_decay: >= 0, or a function of the updates done; inside the norm |u|.
        bias_correction: divide the moments by 1 - b^t.
        normalize_gradients: g <- g / |all g|.
        max_gradient_norm: g <- g / max(1, |all g| / max_gradient_norm); None: no limit.
        weight_norm_bounds: (low, high) of phi; None: phi(z) = z.
        ratio_bounds: (low, high) for phi(|w|) / |u|.
        zero_ratio: the ratio where |w| or |u| is 0 (all known code: 1).
        decay, adapt: which parameters (see masks.masks). What is not adapted has ratio 1: it takes
            Adam's step.
        stacked_axes, axis_name, accumulator_dtype: as in lars; the dtype is that of m.

    Raises:
        ValueError: a number out of its range; in update, no parameters.
    """

    def init(params):
        facts = no_facts(params, decay, adapt, stacked_axes)
        first, second = buffer(params, accumulator_dtype), second_moment(params)
        return LambState(jnp.zeros((), jnp.int32), first, second, facts)

    def update(updates, state, params=None, **extra_args):
        del extra_args
        these = leaves(updates, params, decay, adapt, stacked_axes)
        rate, beta = in_common(value(learning_rate, state.count)), value(weight_decay, state.count)
        scale = _gradient_scale(these.gradients, normalize_gradients, max_gradient_norm, axis_name)
        old = list(
            zip(
                *(these.structure.flatten_up_to(tree) for tree in (state.mu, state.nu)), strict=True
            )
        )
        t = state.count + 1
        first, second, changes, raw, found = [], [], [], [], []
        for block in blocks(these.weights, axis_name):
            floor, directions, ratios = after(found, eps), {}, {}
            for i in block:
                g, w, (m, v) = these.gradients[i], these.weights[i], old[i]
                g = wide(g) if scale is None else wide(g) * scale
                corrected = [b1 * wide(m) + (1 - b1) * g, b2 * v + (1 - b2) * (g * g.conj()).real]
                first.append(corrected[0].astype(m.dtype))
                second.append(corrected[1].astype(v.dtype))
                if bias_correction:
                    corrected = [
                        x * (1 / grown(b, t, v.dtype))
                        for x, b in zip(corrected, (b1, b2), strict=True)
                    ]
                u = corrected[0] / (root(corrected[1]) + floor)
                directions[i] = with_decay(u, these.decay[i], beta, wide(w))

            at = [i for i in block if these.adapt[i]]
            weights, ranks = [these.weights[i] for i in at], [these.ranks[i] for i in at]
            new = pairs(weights, [directions[i] for i in at], ranks, axis_name, stored=False)
            found = new[0] if new else found
            for i, (weight_norm, norm) in zip(at, new, strict=True):
                phi, phi_clipped = bounded(weight_norm, weight_norm_bounds)
                usual = (weight_norm > 0) & (norm > 0)
                ratio = jnp.where(usual, phi / jnp.where(norm > 0, norm, 1), zero_ratio)
                ratio, clipped = bounded(ratio, ratio_bounds)
                ratios[i] = spread(ratio, these.weights[i])
                raw.append((weight_norm, norm, ratio, clipped | (phi_clipped & usual)))
            changes += [
                -rate * (ratios[i] * u if i in ratios else u) for i, u in directions.items()
            ]
        facts = (
            adapted_facts(state.facts, *map(list, zip(*raw, strict=True)), rate)
            if raw
            else state.facts
        )
        return these.cast(changes), LambState(t, these.tree(first), these.tree(second), facts)

    return optax.GradientTransformationExtraArgs(init, update)


def _gradient_scale(gradients, normalize, limit, axis_name):
    """What all gradients are multiplied by before the moments; None: nothing."""
    if not gradients or (limit is None and not normalize):
        return None
    lengths = jnp.stack(norms(gradients, [0] * len(gradients), axis_name))
    norm = root(jnp.sum(lengths * lengths))
    # Beyond these limits the squares leave float32.
    norm = jnp.where((norm > 1e-15) & (norm < 1e18), norm, norms([lengths], [0])[0])
    if normalize:
        return 1 / jnp.where(norm > 0, norm, 1)
    return 1 / jnp.maximum(1, norm / limit)
