"""NovoGrad: gradients normalized layer by layer before the momentum."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._layerwise.layers import (
    StackedAxes,
    TrustRatioStats,
    divide_or_zero,
    expand_like,
)
from lbexp.optimizers._layerwise.leaves import (
    LayerNorms,
    at_step,
    flatten_leaves,
    init_buffer,
    initial_stats,
    rate_at_step,
    safe_sqrt,
    updated_stats,
)
from lbexp.optimizers._layerwise.masks import Mask
from lbexp.optimizers._layerwise.norms import AxisName, norms
from lbexp.precision import upcast
from lbexp.ranges import Dtype, Fraction, NonNegative, NonNegativeSchedule, checked


class NovogradState(NamedTuple):
    count: jax.Array  # int32, updates done
    mu: Any  # momentum, like the parameters
    # root of the mean of squared gradient norms, a number for each layer [layers], float32 at least
    nu: jax.Array
    largest: Any  # largest nu so far [layers]; () without amsgrad
    stats: TrustRatioStats


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
    lazy_decay: Mask = 'tables',
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
        stacked_axes, axis_name, accumulator_dtype, lazy_decay: as in lars; v is a layer's, as |g|
            is, and m of a row, earlier decay in it unless decoupled_decay, moves it without a
            gradient.

    Raises:
        ValueError: a number out of its range; in update, no parameters.
    """

    def init(params):
        stats = initial_stats(
            params, decay, lazy_decay, adapt, stacked_axes, has_weight_norms=False
        )
        real_dtypes = [jnp.finfo(p.dtype).dtype for p in jax.tree.leaves(params)]
        dtype = jnp.result_type(jnp.float32, *real_dtypes)
        nu = jnp.zeros(stats.leaf.shape, dtype)
        largest = ()
        if amsgrad:
            largest = jnp.zeros_like(nu)
        mu = init_buffer(params, accumulator_dtype)
        return NovogradState(jnp.zeros((), jnp.int32), mu, nu, largest, stats)

    def inverse(below):
        """1 / (sqrt(v) + eps) of every layer, 0 where v is."""
        if eps_inside_root:
            below = jnp.hypot(below, jnp.sqrt(eps).astype(below.dtype))
        else:
            below = below + eps
        return divide_or_zero(1, below)

    def update(updates, state, params=None, **extra_args):
        del extra_args
        flat = flatten_leaves(updates, params, decay, lazy_decay, adapt, stacked_axes)
        rate = rate_at_step(learning_rate, state.count)
        beta = at_step(weight_decay, state.count)
        gradient_norms = _gradient_norms(flat.leaves, axis_name)
        norm = _all_layers(gradient_norms)
        # |g|^2 leaves float32 where |g| does not: v is kept as the square of a root that is
        # averaged exactly.
        nu = _averaged(state.nu, norm.astype(state.nu.dtype), b2)
        largest, root = state.largest, nu
        if amsgrad:
            largest = root = jnp.maximum(largest, nu)
        scales = _by_leaf(inverse(root), gradient_norms)

        # v starts as |g|^2, so the first bracket has the length of all later ones.
        share = 1
        if grad_averaging:
            share = jnp.where(state.count == 0, 1, 1 - b1)
        mus, changes = [], []
        old_mus = flat.flatten(state.mu)
        for i, (leaf, m) in enumerate(zip(flat.leaves, old_mus, strict=True)):
            step = upcast(leaf.gradient)
            if i in scales:
                step = step * expand_like(scales[i], leaf.weights)
            if not decoupled_decay:
                step = leaf.add_decayed_weights(step, beta)
            mu = b1 * upcast(m) + share * step
            mus.append(mu.astype(m.dtype))
            if decoupled_decay:
                changes.append(-rate * leaf.add_decayed_weights(mu, beta))
            else:
                changes.append(-rate * mu)
        stats = updated_stats(state.stats, _records(gradient_norms, scales), rate)
        state = NovogradState(state.count + 1, flat.tree(mus), nu, largest, stats)
        return flat.cast(changes), state

    return optax.GradientTransformationExtraArgs(init, update)


def _gradient_norms(leaves, axis_name):
    """{position of an adapted leaf: |g| of its layers}."""
    adapted = [i for i, leaf in enumerate(leaves) if leaf.is_adapted]
    gradients = [leaves[i].gradient for i in adapted]
    ranks = [leaves[i].stacked_axes for i in adapted]
    return dict(zip(adapted, norms(gradients, ranks, axis_name), strict=True))


def _records(gradient_norms, scales):
    layers = []
    for i, norm in gradient_norms.items():
        never_clipped = jnp.zeros(norm.shape)
        layers.append(LayerNorms(None, norm, scales[i], never_clipped))
    return layers


def _averaged(average, norm, b2):
    """sqrt(b2 average^2 + (1 - b2) norm^2) without squares that overflow; `norm` where average is
    0."""
    peak = jnp.maximum(average, norm)
    safe = jnp.where(peak > 0, peak, 1)
    mean = peak * safe_sqrt(b2 * (average / safe) ** 2 + (1 - b2) * (norm / safe) ** 2)
    return jnp.where(average > 0, mean, norm)


def _all_layers(norms_by_leaf):
    """The vector over all layers that `_by_leaf` takes apart."""
    if not norms_by_leaf:
        return jnp.zeros(0)
    return jnp.concatenate([norm.reshape(-1) for norm in norms_by_leaf.values()])


def _by_leaf(vector, norms_by_leaf):
    """{position of a leaf: its part of a vector over all layers, shaped like its norms}."""
    parts, start = {}, 0
    for i, norm in norms_by_leaf.items():
        end = start + norm.size
        parts[i] = vector[start:end].reshape(norm.shape)
        start = end
    return parts
