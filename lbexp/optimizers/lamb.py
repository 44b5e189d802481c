"""LAMB: Adam's direction, with every layer's step as long as a fraction of the layer's weights."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.adapted_norms import adapted_norms
from lbexp.optimizers._layerwise.blocks import blocks, sequence_after
from lbexp.optimizers._layerwise.layers import StackedAxes, TrustRatioStats, expand_like
from lbexp.optimizers._layerwise.leaves import (
    LayerNorms,
    at_step,
    bias_correction_term,
    clip_with_flag,
    flatten_leaves,
    init_buffer,
    init_second_moment,
    initial_stats,
    rate_at_step,
    safe_sqrt,
    updated_stats,
)
from lbexp.optimizers._layerwise.masks import Mask
from lbexp.optimizers._layerwise.norms import AxisName, norms
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


class LambState(NamedTuple):
    count: jax.Array  # int32, updates done
    mu: Any  # mean of gradients, like the parameters
    nu: Any  # mean of squared gradients, like the parameters, float32 at least
    stats: TrustRatioStats


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
    lazy_decay: Mask = 'tables',
) -> optax.GradientTransformationExtraArgs:
    """Layer-wise Adam (You et al. 2020, arXiv:1904.00962v5, Algorithm 2).

        m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
        u = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + weight_decay w
        w <- w - learning_rate phi(|w|) / |u| u,  phi(z) = min(max(z, low), high)

    The variants: version 3 of the paper (and NVIDIA's Transformer-XL) has bias_correction=False;
    NVLAMB divides all gradients by their common norm first: normalize_gradients=True, as it is
    described, or max_gradient_norm=1, as it is implemented (only where the norm is above it). optax
    adapts and decays every parameter: with decay='all', lazy_decay='none' and adapt='all' it is

        optax.chain(
            optax.scale_by_adam(b1, b2, eps),
            optax.add_decayed_weights(weight_decay),
            optax.scale_by_trust_ratio(),
            optax.scale_by_learning_rate(learning_rate),
        )

    but for norms that leave the range of their dtype.

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
        lazy_decay: as in lars; |u| has the decay of the rows that are decayed. m and v of a row go
            on without a gradient, and m moves it.

    Raises:
        ValueError: a number out of its range; in update, no parameters.
    """

    def init(params):
        stats = initial_stats(params, decay, lazy_decay, adapt, stacked_axes)
        mu = init_buffer(params, accumulator_dtype)
        nu = init_second_moment(params)
        return LambState(jnp.zeros((), jnp.int32), mu, nu, stats)

    def moments(leaf, m, v, scale):
        """Adam's m and v of a leaf."""
        g = upcast(leaf.gradient)
        if scale is not None:
            g = g * scale
        mu = b1 * upcast(m) + (1 - b1) * g
        nu = b2 * v + (1 - b2) * (g * g.conj()).real
        return mu, nu

    def direction(leaf, mu, nu, t, floor, beta):
        """u of a leaf."""
        # Reciprocals multiplied, not quotients: see bias_correction_term.
        if bias_correction:
            dtype = nu.dtype
            mu = mu * (1 / bias_correction_term(b1, t, dtype))
            nu = nu * (1 / bias_correction_term(b2, t, dtype))
        u = mu / (safe_sqrt(nu) + floor)
        return leaf.add_decayed_weights(u, beta)

    def trust_ratio(leaf, weight_norm, norm):
        """phi(|w|) / |u| of the layers of a leaf: shaped to meet it, and as a record."""
        phi, phi_clipped = clip_with_flag(weight_norm, weight_norm_bounds)
        is_usual = (weight_norm > 0) & (norm > 0)
        ratio = jnp.where(is_usual, phi / jnp.where(norm > 0, norm, 1), zero_ratio)
        ratio, clipped = clip_with_flag(ratio, ratio_bounds)
        ratio_of_leaf = expand_like(ratio, leaf.weights)
        clipped = clipped | (phi_clipped & is_usual)
        return ratio_of_leaf, LayerNorms(weight_norm, norm, ratio, clipped)

    def update(updates, state, params=None, **extra_args):
        del extra_args
        flat = flatten_leaves(updates, params, decay, lazy_decay, adapt, stacked_axes)
        rate = rate_at_step(learning_rate, state.count)
        beta = at_step(weight_decay, state.count)
        gradients = [leaf.gradient for leaf in flat.leaves]
        scale = _gradient_scale(gradients, normalize_gradients, max_gradient_norm, axis_name)
        weights = [leaf.weights for leaf in flat.leaves]
        old_mus, old_nus = flat.flatten(state.mu), flat.flatten(state.nu)
        t = state.count + 1
        mus, nus, changes, layers, last_norms = [], [], [], [], ()
        for block in blocks(weights, axis_name):
            # The whole block waits for the norms of the one before, through its eps.
            floor = sequence_after(last_norms, eps)
            directions, ratios = {}, {}
            for i in block:
                leaf, m, v = flat.leaves[i], old_mus[i], old_nus[i]
                mu, nu = moments(leaf, m, v, scale)
                mus.append(mu.astype(m.dtype))
                nus.append(nu.astype(v.dtype))
                directions[i] = direction(leaf, mu, nu, t, floor, beta)
            # Directions are computed, not stored: their squares are summed where they are made.
            block_norms = adapted_norms(flat.leaves, block, directions, axis_name, stored=False)
            last_norms = next(iter(block_norms.values()), last_norms)
            for i, (weight_norm, norm) in block_norms.items():
                ratios[i], record = trust_ratio(flat.leaves[i], weight_norm, norm)
                layers.append(record)
            for i, u in directions.items():
                if i in ratios:
                    changes.append(-rate * (ratios[i] * u))
                else:
                    changes.append(-rate * u)
        stats = state.stats
        if layers:
            stats = updated_stats(stats, layers, rate)
        return flat.cast(changes), LambState(t, flat.tree(mus), flat.tree(nus), stats)

    return optax.GradientTransformationExtraArgs(init, update)


def _gradient_scale(gradients, normalize, limit, axis_name):
    """What all gradients are multiplied by before the moments; None: nothing."""
    if not gradients or (limit is None and not normalize):
        return None
    lengths = jnp.stack(norms(gradients, [0] * len(gradients), axis_name))
    norm = safe_sqrt(jnp.sum(lengths * lengths))
    # Beyond these limits the squares leave float32.
    is_safe = (norm > 1e-15) & (norm < 1e18)
    norm = jnp.where(is_safe, norm, norms([lengths], [0])[0])
    if normalize:
        return 1 / jnp.where(norm > 0, norm, 1)
    return 1 / jnp.maximum(1, norm / limit)
