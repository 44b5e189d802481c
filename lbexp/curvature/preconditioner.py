"""The diagonal matrix P that an optimizer divides gradients by, read from its state."""

from typing import Any

import jax
import jax.numpy as jnp

from lbexp.shapes import Params

_ADAM = {'AdamwState', 'ScaleByAdamState'}
_TRUST_RATIO = {'LarsState'}
_BOTH = {'LambState'}


def preconditioner(
    opt_state: Any,
    params: Params,
    b2: Any = 0.999,
    eps: Any = 1e-8,
    bias_correction: bool = True,
) -> Params:
    """The diagonal of P, where an optimizer steps along rate x P^-1 (mean of gradients).

        Adam, AdamW:  P = sqrt(v / (1 - b2^t)) + eps
        LARS:         P = 1 / trust ratio of the layer
        LAMB:         P = (sqrt(v / (1 - b2^t)) + eps) / trust ratio of the layer

    with the ratios of the last update; layers that do not adapt have ratio 1. Found through
    wrappers. SGD and momentum have P = 1: they need none.

    Args:
        opt_state: after one update at least; before the first P is NaN.
        b2, eps, bias_correction: as the optimizer was made with; they are not in its state. LAMB's
            eps is 1e-6 by default.

    Returns:
        A tree like the parameters. A leaf that is a stack of layers is NaN: its ratios are
        several.

    Raises:
        ValueError: another optimizer, or several.
    """
    known = _ADAM | _TRUST_RATIO | _BOTH
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda node: type(node).__name__ in known)
    states = [node for node in nodes if type(node).__name__ in known]
    if len(states) != 1:
        shown = ', '.join(type(state).__name__ for state in states) or type(opt_state).__name__
        raise ValueError(
            f'optimizer: found {shown}; allowed: one adamw, lars, lamb or optax.scale_by_adam. '
            'For sgd and momentum P is 1: ask for the plain Hessian'
        )
    (state,) = states
    kind = type(state).__name__
    diagonal = jax.tree.map(jnp.ones_like, params)
    if kind not in _TRUST_RATIO:
        diagonal = _of_adam(state, params, b2, eps, bias_correction)
    if kind not in _ADAM:
        inverse = _inverse_ratios(state.stats, params)
        diagonal = jax.tree.map(jnp.multiply, diagonal, inverse)
    is_young = state.count < 1
    return jax.tree.map(lambda p: jnp.where(is_young, jnp.nan, p), diagonal)


def _of_adam(state, params, b2, eps, bias_correction):
    correction = jnp.ones((), jnp.float32)
    if bias_correction:
        # 1 - b2^t without the digits that 1 - (1 - small) loses
        power = -jnp.expm1(state.count * jnp.log(jnp.asarray(b2, jnp.float32)))
        correction = 1 / jnp.where(power > 0, power, 1)

    def of_leaf(leaf, v):
        if v.shape != leaf.shape:
            raise ValueError(f'optimizer: found v of shape {v.shape}; allowed: {leaf.shape}')
        return jnp.sqrt(v * correction) + eps

    return jax.tree.map(of_leaf, params, state.nu)


def _inverse_ratios(stats, params):
    """1 / trust ratio of each leaf's layer, a scalar each."""
    leaves, structure = jax.tree.flatten(params)
    inverses = []
    for place in range(len(leaves)):
        is_its = stats.leaf == place
        count = is_its.sum()
        ratio = jnp.where(is_its, stats.ratio, 0).sum()
        ratio = jnp.where(count > 1, jnp.nan, jnp.where(count == 1, ratio, 1.0))
        inverses.append(1 / ratio)
    return jax.tree.unflatten(structure, inverses)
