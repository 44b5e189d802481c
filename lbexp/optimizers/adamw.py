"""Adam with decoupled weight decay."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.layers import StackedAxes
from lbexp.optimizers._layerwise.leaves import (
    at_step,
    bias_correction_term,
    flatten_leaves,
    init_buffer,
    init_second_moment,
    rate_at_step,
    safe_sqrt,
)
from lbexp.optimizers._layerwise.masks import Mask, masks
from lbexp.precision import upcast
from lbexp.ranges import Dtype, Fraction, NonNegative, NonNegativeSchedule, checked


class AdamwState(NamedTuple):
    count: jax.Array  # int32, updates done
    mu: Any  # mean of gradients, like the parameters
    nu: Any  # mean of squared gradients, like the parameters, float32 at least


@checked
def adamw(
    learning_rate: NonNegativeSchedule,
    b1: Fraction = 0.9,
    b2: Fraction = 0.999,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegativeSchedule = 1e-2,
    decay: Mask = 'matrices',
    stacked_axes: StackedAxes = None,
    accumulator_dtype: Dtype | None = None,
    lazy_decay: Mask = 'tables',
) -> optax.GradientTransformationExtraArgs:
    """AdamW (Kingma and Ba 2015, arXiv:1412.6980, Alg. 1; Loshchilov and Hutter 2019,
    arXiv:1711.05101, Alg. 2).

        m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
        w <- w - learning_rate [ m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + weight_decay w ]

    As in optax and PyTorch the decay is multiplied by the learning rate; the paper has a schedule
    of its own for it, which weight_decay as a function gives.

    Args:
        learning_rate: >= 0, or a function of the updates done.
        b1, b2: in [0, 1).
        eps: >= 0, outside the root [gradient units].
        weight_decay: >= 0 [1 / learning rate], or a function of the updates done.
        decay: which parameters (see masks.masks); optax and the paper: 'all'.
        stacked_axes: as in lars.
        accumulator_dtype: of m; None: the parameters'.
        lazy_decay: which parameters are tables, of which a row [stack..., row] is decayed only in
            updates in which it has a gradient. With 'none', as in optax and the paper, what is
            rarely seen decays as often as what every batch has, and shrinks in between. Only the
            decay is sparse: m and v of a row go on without a gradient, and m moves it.

    Raises:
        ValueError: a number out of its range; in update, no parameters.
    """

    def init(params):
        # refuses what does not fit, before the first update
        masks(decay, params, stacked_axes, 'decay')
        masks(lazy_decay, params, stacked_axes, 'lazy_decay')
        mu = init_buffer(params, accumulator_dtype)
        return AdamwState(jnp.zeros((), jnp.int32), mu, init_second_moment(params))

    def update(updates, state, params=None, **extra_args):
        del extra_args
        flat = flatten_leaves(updates, params, decay, lazy_decay, 'none', stacked_axes)
        rate = rate_at_step(learning_rate, state.count)
        beta = at_step(weight_decay, state.count)
        t = state.count + 1
        mus, nus, changes = [], [], []
        old_mus, old_nus = flat.flatten(state.mu), flat.flatten(state.nu)
        for leaf, m, v in zip(flat.leaves, old_mus, old_nus, strict=True):
            g = upcast(leaf.gradient)
            mu = b1 * upcast(m) + (1 - b1) * g
            nu = b2 * v + (1 - b2) * (g * g.conj()).real
            # Reciprocals multiplied, not quotients: see bias_correction_term.
            below = safe_sqrt(nu * (1 / bias_correction_term(b2, t, v.dtype))) + eps
            # The quotient last: XLA would compute anything cheaper once for the change and once for
            # the new weights, and keep what it is computed from, as large as the parameters.
            mean = mu * (1 / bias_correction_term(b1, t, v.dtype))
            changes.append(-rate * leaf.add_decayed_weights(mean, beta * below) / below)
            mus.append(mu.astype(m.dtype))
            nus.append(nu.astype(v.dtype))
        return flat.cast(changes), AdamwState(t, flat.tree(mus), flat.tree(nus))

    return optax.GradientTransformationExtraArgs(init, update)
