"""What a layerwise optimizer did at its last update, layer by layer."""

import collections
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lbexp.optimizers._inspection.evaluation import slow_params
from lbexp.optimizers._inspection.variables import arrays_in
from lbexp.optimizers._layerwise.layers import TrustRatioStats
from lbexp.optimizers._layerwise.prefixes import paths
from lbexp.optimizers.lookahead import LookaheadState
from lbexp.precision import upcast


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
    states = _layerwise(opt_state)
    report: dict[str, Any] = _layers(states, params is not None) if states else {}
    if params is not None and _nodes(opt_state, lambda x: isinstance(x, LookaheadState)):
        gaps = jax.tree.map(
            lambda w, s: jnp.sum(jnp.square(jnp.abs(upcast(w) - upcast(s)))),
            params,
            slow_params(opt_state, params),
        )
        report['slow_fast_distance'] = jnp.sqrt(sum(jax.tree.leaves(gaps)))
    return report


def _layers(states, named):
    stacks = [state.stats.leaf.shape[0] for state in states if state.stats.leaf.ndim > 1]
    if stacks:
        raise ValueError(
            f'opt_state: found a stack of {stacks[0]} states; use jax.vmap(diagnostics)'
        )
    has_weight_norms = all(not isinstance(state.stats.weight_norm, tuple) for state in states)
    parts = []
    # A rate for each layer: several optimizers have several.
    for state in states:
        stats = state.stats._replace(learning_rate=_each(state.stats))
        parts.append(stats if has_weight_norms else stats._replace(weight_norm=()))
    stats = jax.tree.map(lambda *vectors: jnp.concatenate(vectors), *parts)
    report: dict[str, Any] = {}
    if named and not isinstance(stats.leaf, jax.core.Tracer):
        report['layer'] = [name for state in states for name in _names(state)]
    rate = stats.learning_rate * stats.ratio
    report |= {
        'trust_ratio': stats.ratio,
        'gradient_norm': stats.direction_norm,
        'effective_learning_rate': rate,
        'update_norm': rate * stats.direction_norm,
    }
    if has_weight_norms:
        report |= _of_weights(stats.weight_norm, report['update_norm'])
    report['clip_fraction'] = stats.clipped.mean() if stats.clipped.size else jnp.zeros(())
    return report


def _of_weights(weight_norm, moved):
    is_zero = weight_norm == 0
    relative = moved / jnp.where(is_zero, 1, weight_norm)
    return {
        'weight_norm': weight_norm,
        'relative_update': jnp.where(is_zero & (moved > 0), jnp.inf, relative),
    }


def _each(stats):
    return jnp.broadcast_to(stats.learning_rate, stats.ratio.shape)


def _names(state):
    """Paths of the adapted leaves that the optimizer saw, which its buffer is shaped like; a mask
    hides others.

    A leaf of several layers has its index behind its name.
    """
    names, positions = jax.tree.leaves(paths(state[1])), state.stats.leaf.tolist()
    labels, layers_before = [], collections.Counter()
    for i in positions:
        is_stacked = positions.count(i) > 1
        labels.append(f'{names[i]}[{layers_before[i]}]' if is_stacked else names[i])
        layers_before[i] += 1
    return labels


def _layerwise(tree):
    """States that keep statistics, also those inside a lookahead."""

    def keeps_stats(x):
        # A lookahead that interpolates the momentum keeps a second state of masked parts beside it.
        stats = getattr(x, 'stats', None)
        return isinstance(stats, TrustRatioStats) and not isinstance(stats.leaf, optax.MaskedNode)

    return _nodes(tree, keeps_stats)


def _nodes(tree, is_node):
    return [x for x in jax.tree.leaves(tree, is_leaf=is_node) if is_node(x)]
