"""Adam with decoupled weight decay."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.backend import in_common
from lbexp.optimizers._layerwise.layers import StackedAxes, wide
from lbexp.optimizers._layerwise.leaves import (
    buffer,
    grown,
    leaves,
    root,
    second_moment,
    value,
    with_decay,
)
from lbexp.optimizers._layerwise.masks import Mask, masks
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

    Raises:
        ValueError: a number out of its range; in update, no parameters.
    """

    def init(params):
        # refuses what does not fit, before the first update
        masks(decay, params, stacked_axes, 'decay')
        first = buffer(params, accumulator_dtype)
        return AdamwState(jnp.zeros((), jnp.int32), first, second_moment(params))

    def update(updates, state, params=None, **extra_args):
        del extra_args
        these = leaves(updates, params, decay, 'none', stacked_axes)
        rate, beta = in_common(value(learning_rate, state.count)), value(weight_decay, state.count)
        t = state.count + 1
        old = zip(
            *(these.structure.flatten_up_to(tree) for tree in (state.mu, state.nu)), strict=True
        )
        first, second, changes = [], [], []
        for g, w, d, (m, v) in zip(these.gradients, these.weights, these.decay, old, strict=True):
            g = wide(g)
            new = b1 * wide(m) + (1 - b1) * g
            square = b2 * v + (1 - b2) * (g * g.conj()).real
            below = root(square * (1 / grown(b2, t, v.dtype))) + eps
            step = new * (1 / grown(b1, t, v.dtype)) / below
            changes.append(-rate * with_decay(step, d, beta, wide(w)))
            first.append(new.astype(m.dtype))
            second.append(square.astype(v.dtype))
        return these.cast(changes), AdamwState(t, these.tree(first), these.tree(second))

    return optax.GradientTransformationExtraArgs(init, update)
