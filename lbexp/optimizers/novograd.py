"""NovoGrad: gradients normalized layer by layer before the momentum."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.backend import in_common
from lbexp.optimizers._layerwise.layers import LayerFacts, StackedAxes, spread, wide
from lbexp.optimizers._layerwise.leaves import (
    adapted_facts,
    buffer,
    leaves,
    no_facts,
    root,
    value,
    with_decay,
)
from lbexp.optimizers._layerwise.masks import Mask
from lbexp.optimizers._layerwise.norms import AxisName, norms
from lbexp.ranges import Dtype, Fraction, NonNegative, NonNegativeSchedule, checked


class NovogradState(NamedTuple):
    count: jax.Array  # int32, updates done
    mu: Any  # momentum, like the parameters
    # root of the mean of squared gradient norms, a number for each layer [layers], float32 at least
    nu: jax.Array
    largest: Any  # largest nu so far [layers]; () without amsgrad
    facts: LayerFacts


@checked
def novograd(
    learning_rate: NonNegativeSchedule,
    b1: Fraction = 0.95,
    b2: Fraction = 0.98,
    eps: NonNegative = 1e-8,
    weight_decay: NonNegativeSchedule = 0.0,
    grad_averaging: bool = False,
    decoupled_decay: bool = False,
    eps_inside_root: bool = False,
    amsgrad: bool = False,
    decay: Mask = 'matrices',
    adapt: Mask = 'all',
    stacked_axes: StackedAxes = None,
    axis_name: AxisName = None,
    accumulator_dtype: Dtype | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Stochastic gradient with layer-wise normalization (Ginsburg et al. 2019, arXiv:1905.11286,
    Algorithm 1).

        v <- b2 v + (1 - b2) |g|^2                         (v = |g|^2 at the layer's first non-zero
        gradient)
        m <- b1 m + [g / (sqrt(v) + eps) + weight_decay w]
        w <- w - learning_rate m

    v is one number a layer. The paper has no bias correction. A layer whose first gradients are 0
    (an unused head) starts when its gradient does; optax starts it at the first update, and its
    first step is then 1 / sqrt(1 - b2) too long. The variants: OpenSeq2Seq has eps_inside_root,
    sqrt(v + eps); TensorFlow Addons and apex have grad_averaging.

    Args:
        learning_rate: >= 0, or a function of the updates done; the length of a layer's first step.
        b1, b2: in [0, 1).
        eps: >= 0 [gradient norm; its square inside the root].
        weight_decay: >= 0, or a function of the updates done.
        grad_averaging: the bracket is multiplied by 1 - b1 (not at the first update).
        decoupled_decay: weight_decay w joins the step, not the bracket: w <- w - learning_rate (m +
            weight_decay w).
        eps_inside_root: divide by sqrt(v + eps).
        amsgrad: divide by the largest v so far (section 3.2 of the paper's first version, after
            Reddi et al. 2018).
        decay: which parameters (see masks.masks). The paper decays all.
        adapt: which gradients are normalized; what is not is taken as it is.
        stacked_axes, axis_name, accumulator_dtype: as in lars.

    Raises:
        ValueError: a number out of its range; in update, no parameters.
    """

    def init(params):
        facts = no_facts(params, decay, adapt, stacked_axes, has_weight_norms=False)
        dtype = jnp.result_type(
            jnp.float32, *(jnp.finfo(p.dtype).dtype for p in jax.tree.leaves(params))
        )
        nu = jnp.zeros(facts.leaf.shape, dtype)
        largest = jnp.zeros_like(nu) if amsgrad else ()
        return NovogradState(
            jnp.zeros((), jnp.int32), buffer(params, accumulator_dtype), nu, largest, facts
        )

    def update(updates, state, params=None, **extra_args):
        del extra_args
        these = leaves(updates, params, decay, adapt, stacked_axes)
        rate, beta = in_common(value(learning_rate, state.count)), value(weight_decay, state.count)
        at = [i for i, adapted in enumerate(these.adapt) if adapted]
        found = norms([these.gradients[i] for i in at], [these.ranks[i] for i in at], axis_name)
        norm = jnp.concatenate([n.reshape(-1) for n in found]) if found else jnp.zeros(0)
        # |g|^2 leaves float32 where |g| does not: v is kept as the square of a root that is
        # averaged exactly.
        nu = _averaged(state.nu, norm.astype(state.nu.dtype), b2)
        largest = jnp.maximum(state.largest, nu) if amsgrad else state.largest
        below = largest if amsgrad else nu
        below = (
            jnp.hypot(below, jnp.sqrt(eps).astype(below.dtype)) if eps_inside_root else below + eps
        )
        scales = _by_leaf(jnp.where(below > 0, 1 / jnp.where(below > 0, below, 1), 0), found, at)

        share = jnp.where(state.count == 0, 1, 1 - b1) if grad_averaging else 1
        first, changes = [], []
        old = these.structure.flatten_up_to(state.mu)
        for i, (g, w, d, m) in enumerate(
            zip(these.gradients, these.weights, these.decay, old, strict=True)
        ):
            step = wide(g) * spread(scales[i], w) if i in scales else wide(g)
            if not decoupled_decay:
                step = with_decay(step, d, beta, wide(w))
            new = b1 * wide(m) + share * step
            first.append(new.astype(m.dtype))
            changes.append(-rate * (with_decay(new, d, beta, wide(w)) if decoupled_decay else new))
        never = [jnp.zeros(n.shape) for n in found]
        facts = adapted_facts(state.facts, None, found, [scales[i] for i in at], never, rate)
        return these.cast(changes), NovogradState(
            state.count + 1, these.tree(first), nu, largest, facts
        )

    return optax.GradientTransformationExtraArgs(init, update)


def _averaged(average, norm, b2):
    """sqrt(b2 average^2 + (1 - b2) norm^2) without squares that overflow; `norm` where average is
    0."""
    peak = jnp.maximum(average, norm)
    safe = jnp.where(peak > 0, peak, 1)
    mean = peak * root(b2 * (average / safe) ** 2 + (1 - b2) * (norm / safe) ** 2)
    return jnp.where(average > 0, mean, norm)


def _by_leaf(flat, found, at):
    scales, start = {}, 0
    for i, n in zip(at, found, strict=True):
        scales[i] = flat[start : start + n.size].reshape(n.shape)
        start += n.size
    return scales
