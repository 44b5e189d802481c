"""What a layerwise optimizer did at its last update, layer by layer."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._inspection.evaluation import slow_params
from lbexp.optimizers._inspection.variables import arrays_in
from lbexp.optimizers._layerwise.layers import LayerFacts, wide
from lbexp.optimizers._layerwise.prefixes import paths
from lbexp.optimizers.lookahead import LookaheadState


def diagnostics(opt_state: Any, params: Any = None) -> dict[str, Any]:
    """Measurements of the last update that the state kept anyway: reading them costs a few numbers
    a layer.

    For the layerwise optimizers found in `opt_state` (through chain, masked, partition, MultiSteps,
    inject_hyperparams, lookahead; of several, one after the other), in vectors over their adapted
    layers:

        layer: names, 'Dense_0/kernel', or 'blocks/kernel[3]' in a stacked leaf
        trust_ratio, weight_norm, gradient_norm (the norm in the ratio's denominator; LAMB: of
        Adam's direction) effective_learning_rate = learning rate x trust ratio
        update_norm = effective learning rate x gradient_norm (without decay beside it and momentum)
        relative_update = update_norm / weight_norm
        clip_fraction: share of layers whose ratio met a bound

    and for a lookahead slow_fast_distance = |params - slow_params(opt_state, params)|. Where
    NovoGrad is among them, which does not look at the norm of the weights, weight_norm and
    relative_update are left out. A layer of zeros has the relative update inf, or 0 where it did
    not move.

    Args:
        opt_state: state after an update; inside a compiled program too. Of replicas stacked by
            vmap, one at a time: jax.vmap(diagnostics).
        params: the parameters. None: names and distance are left out. Names are Python's: a
            compiled program leaves them out.

    Raises:
        ValueError: a stacked state.
    """
    opt_state, params = arrays_in(opt_state), arrays_in(params)
    found = _layerwise(opt_state)
    report = _layers(found, params is not None) if found else {}
    if params is not None and _nodes(opt_state, lambda x: isinstance(x, LookaheadState)):
        gaps = jax.tree.map(
            lambda w, s: jnp.sum(jnp.square(jnp.abs(wide(w) - wide(s)))),
            params,
            slow_params(opt_state, params),
        )
        report['slow_fast_distance'] = jnp.sqrt(sum(jax.tree.leaves(gaps)))
    return report


def _layers(states, named):
    every = [state.facts for state in states]
    if any(facts.leaf.ndim > 1 for facts in every):
        raise ValueError(
            f'opt_state: found a stack of {every[0].leaf.shape[0]} states; use '
            'jax.vmap(diagnostics)'
        )
    has_weight_norms = all(not isinstance(facts.weight_norm, tuple) for facts in every)
    every = [facts if has_weight_norms else facts._replace(weight_norm=()) for facts in every]
    facts = jax.tree.map(
        lambda *parts: jnp.concatenate(parts), *[f._replace(learning_rate=_each(f)) for f in every]
    )
    rate = facts.learning_rate * facts.ratio
    moved = rate * facts.direction_norm
    of_weights = _of_weights(facts.weight_norm, moved) if has_weight_norms else {}
    named = named and not isinstance(facts.leaf, jax.core.Tracer)
    return {
        **({'layer': [name for state in states for name in _names(state)]} if named else {}),
        'trust_ratio': facts.ratio,
        'gradient_norm': facts.direction_norm,
        'effective_learning_rate': rate,
        'update_norm': moved,
        **of_weights,
        'clip_fraction': facts.clipped.mean() if facts.clipped.size else jnp.zeros(()),
    }


def _of_weights(weight_norm, moved):
    is_zero = weight_norm == 0
    relative = moved / jnp.where(is_zero, 1, weight_norm)
    return {
        'weight_norm': weight_norm,
        'relative_update': jnp.where(is_zero & (moved > 0), jnp.inf, relative),
    }


def _each(facts):
    return jnp.broadcast_to(facts.learning_rate, facts.ratio.shape)


def _names(state):
    """Paths of the adapted leaves that the optimizer saw, which its buffer is shaped like; a mask
    hides others.

    A leaf of several layers has its index behind its name.
    """
    names, leaf = jax.tree.leaves(paths(state[1])), state.facts.leaf.tolist()
    seen = {}
    for i in leaf:
        at = seen.setdefault(i, [])
        at.append(f'{names[i]}[{len(at)}]' if leaf.count(i) > 1 else names[i])
    order = {i: iter(at) for i, at in seen.items()}
    return [next(order[i]) for i in leaf]


def _layerwise(tree):
    """States that keep facts, also those inside a lookahead."""

    def keeps_facts(x):
        # A lookahead that interpolates the momentum keeps a second state of masked parts beside it.
        facts = getattr(x, 'facts', None)
        return isinstance(facts, LayerFacts) and not isinstance(facts.leaf, optax.MaskedNode)

    return _nodes(tree, keeps_facts)


def _nodes(tree, wanted):
    return [x for x in jax.tree.leaves(tree, is_leaf=wanted) if wanted(x)]
