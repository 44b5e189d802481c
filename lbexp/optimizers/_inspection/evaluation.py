"""Which weights to evaluate, for whatever optimizer trained them."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.contrib import ScheduleFreeState

from lbexp.optimizers._inspection.variables import arrays_in
from lbexp.optimizers.ema import EmaState
from lbexp.optimizers.lookahead import LookaheadState


def evaluation_params(opt_state: Any, params: Any) -> Any:
    """The weights that the optimizer would deploy; `params` where it has no others.

    Those of lookahead are its slow ones, those of ema the average, those of
    optax.contrib.schedule_free the x of its paper, those of optax.lookahead (whose parameters are a
    pair) the slow ones of the pair.

    Found through wrappers (chain, masked, partition, MultiSteps, apply_if_finite,
    inject_hyperparams, accumulate, and nnx.Optimizer): parameters that a mask leaves out come from
    `params`. Of nested averages the outermost counts. dtypes are those of `params`; before the
    first update the result equals `params`.

    Args:
        opt_state: any optimizer state, also stacked by vmap (then `params` is stacked too).
        params: the training weights.
    """
    if isinstance(params, optax.LookaheadParams):
        return params.slow
    for state in _outermost(opt_state, (LookaheadState, EmaState, ScheduleFreeState)):
        params = _filled(_deployed(state, params), params)
    return params


def slow_params(opt_state: Any, params: Any) -> Any:
    """Lookahead's slow weights, wherever it sits in `opt_state`; those of the outermost where it is
    nested.

    Raises:
        ValueError: no lookahead in `opt_state`.
    """
    states = _outermost(opt_state, (LookaheadState,))
    if not states:
        raise ValueError(
            f'no lookahead in the optimizer state, which is a {type(opt_state).__name__}'
        )
    for state in states:
        params = _filled(state.slow, params)
    return params


def _outermost(opt_state, kinds):
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, kinds))
    return [arrays_in(node) for node in nodes if isinstance(node, kinds)]


def _deployed(state, params):
    if isinstance(state, LookaheadState):
        return state.slow
    if isinstance(state, EmaState):
        return state.average
    return _schedule_free(state, params)


def _schedule_free(state, params):
    """x = (y - (1 - b1) z) / b1 (Defazio et al. 2024, arXiv:2405.15682, equation 1), y being the
    training weights."""

    def x(z, y):
        if _is_masked(z):
            return z
        # One b1 for each state of a stack.
        missing_axes = y.ndim - jnp.ndim(state.b1)
        b1 = jnp.reshape(state.b1, jnp.shape(state.b1) + (1,) * missing_axes)
        return (y - (1.0 - b1) * z) / b1

    return jax.tree.map(x, state.z, arrays_in(params), is_leaf=_is_masked)


def _filled(weights, params):
    """`weights` in the dtypes of `params`, which also gives what a mask left out."""

    def pick(w, p):
        if _is_masked(w):
            return p
        return w.astype(p.dtype)

    picked = jax.tree.map(pick, weights, arrays_in(params), is_leaf=_is_masked)
    # The containers are those of `params`, variables of NNX too.
    return jax.tree.unflatten(jax.tree.structure(params), jax.tree.leaves(picked))


def _is_masked(x):
    return isinstance(x, optax.MaskedNode)
