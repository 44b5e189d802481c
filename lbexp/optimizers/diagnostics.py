"""What a layerwise optimizer did at its last update, layer by layer."""

from typing import Any

import jax
import jax.numpy as jnp

from lbexp.optimizers.layers import LayerFacts, paths
from lbexp.optimizers.lookahead import LookaheadState


def diagnostics(opt_state: Any, params: Any = None) -> dict[str, Any]:
    """Measurements of the last update that the state kept anyway: reading them costs a few numbers a layer.

    For every layerwise optimizer found in `opt_state` (through chain, masked, MultiSteps, inject_hyperparams,
    lookahead), in vectors over its adapted layers:

        layer: names, 'Dense_0/kernel', or 'blocks/kernel[3]' in a stacked leaf
        trust_ratio, weight_norm, gradient_norm (the norm in the ratio's denominator)
        effective_learning_rate = learning rate x trust ratio
        relative_update = effective learning rate x gradient_norm / weight_norm (without momentum)
        clip_fraction: share of layers whose ratio met a bound

    and for a lookahead slow_fast_distance = |params - slow|.

    Args:
        opt_state: state after an update; inside a compiled program too.
        params: the parameters, which give the names and the distance. None: both are left out. Names are Python's:
            a compiled program leaves them out.
    """
    report = {}
    names = None if params is None else jax.tree.leaves(paths(params))
    kinds = (LayerFacts, LookaheadState)
    for state in _all(opt_state, kinds):
        if isinstance(state, LookaheadState):
            if params is None:
                continue
            gaps = jax.tree.map(lambda w, s: jnp.sum(jnp.square(jnp.abs(w - s))), params, state.slow)
            report['slow_fast_distance'] = jnp.sqrt(sum(jax.tree.leaves(gaps)))
        else:
            report |= _layers(state, names)
    return report


def _layers(facts, names):
    rate = facts.learning_rate * facts.ratio
    named = names is not None and not isinstance(facts.leaf, jax.core.Tracer)
    return {
        **({'layer': _named(facts.leaf.tolist(), names)} if named else {}),
        'trust_ratio': facts.ratio,
        'weight_norm': facts.weight_norm,
        'gradient_norm': facts.direction_norm,
        'effective_learning_rate': rate,
        'relative_update': rate * facts.direction_norm / jnp.where(facts.weight_norm > 0, facts.weight_norm, jnp.nan),
        'clip_fraction': facts.clipped.mean() if facts.clipped.size else jnp.zeros(()),
    }


def _named(leaf, names):
    """A leaf of several layers has its index behind its name."""
    several = {i for i in leaf if leaf.count(i) > 1}
    seen = {}
    for i in leaf:
        at = seen.setdefault(i, [])
        at.append(f'{names[i]}[{len(at)}]' if i in several else names[i])
    order = {i: iter(at) for i, at in seen.items()}
    return [next(order[i]) for i in leaf]


def _all(tree, kinds):
    """Every node of a kind, also those inside other such nodes."""
    is_kind = lambda x: isinstance(x, kinds)
    found = [x for x in jax.tree.leaves(tree, is_leaf=is_kind) if is_kind(x)]
    inner = [_all(list(x), kinds) for x in found if isinstance(x, LookaheadState)]
    return found + [x for each in inner for x in each]
