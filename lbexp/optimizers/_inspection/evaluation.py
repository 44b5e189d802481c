"""Which weights to evaluate, for whatever optimizer trained them."""

from typing import Any

import jax
import optax

from lbexp.optimizers.ema import EmaState
from lbexp.optimizers.lookahead import LookaheadState


def evaluation_params(opt_state: Any, params: Any) -> Any:
    """The weights that the optimizer would deploy: lookahead's slow ones, ema's average, else `params`.

    Found through wrappers (chain, masked, partition, MultiSteps, apply_if_finite, inject_hyperparams, accumulate):
    parameters that a mask leaves out come from `params`. Of nested averages the outermost counts. dtypes are those of
    `params`; before the first update the result equals `params`.

    Args:
        opt_state: any optimizer state, also stacked by vmap (then `params` is stacked too).
        params: the training weights.
    """
    for state in _outermost(opt_state, (LookaheadState, EmaState)):
        params = _fill(state.slow if isinstance(state, LookaheadState) else state.average, params)
    return params


def slow_params(opt_state: Any, params: Any) -> Any:
    """Lookahead's slow weights, wherever it sits in `opt_state`; those of the outermost where it is nested.

    Raises:
        ValueError: no lookahead in `opt_state`.
    """
    found = _outermost(opt_state, (LookaheadState,))
    if not found:
        raise ValueError(f'no lookahead in the optimizer state, which is a {type(opt_state).__name__}')
    for state in found:
        params = _fill(state.slow, params)
    return params


def _outermost(opt_state, kinds):
    is_kind = lambda x: isinstance(x, kinds)
    return [x for x in jax.tree.leaves(opt_state, is_leaf=is_kind) if is_kind(x)]


def _fill(weights, params):
    """`weights` in the dtypes of `params`, which also gives what a mask left out."""
    masked = lambda x: isinstance(x, optax.MaskedNode)
    pick = lambda w, p: p if masked(w) else w.astype(p.dtype)
    return jax.tree.map(pick, weights, params, is_leaf=masked)
