"""What a layerwise optimizer did at its last update, layer by layer."""

import collections
import itertools
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
        clipped: bool, the ratio met a bound; clip_fraction: share of such layers

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
    report: dict[str, Any] = {}
    if states:
        report = _layers(states, params is not None)
    if params is not None and _nodes(opt_state, lambda x: isinstance(x, LookaheadState)):
        report['slow_fast_distance'] = _distance(params, slow_params(opt_state, params))
    return report


def _distance(fast, slow):
    def squared(w, s):
        return jnp.sum(jnp.square(jnp.abs(upcast(w) - upcast(s))))

    squares = jax.tree.map(squared, fast, slow)
    return jnp.sqrt(sum(jax.tree.leaves(squares)))


def _layers(states, named):
    for state in states:
        if state.stats.leaf.ndim > 1:
            count = state.stats.leaf.shape[0]
            raise ValueError(
                f'opt_state: found a stack of {count} states; use jax.vmap(diagnostics)'
            )
    has_weight_norms = not any(isinstance(state.stats.weight_norm, tuple) for state in states)
    parts = []
    for state in states:
        stats = state.stats
        # A rate for each layer: several optimizers have several.
        rates = jnp.broadcast_to(stats.learning_rate, stats.ratio.shape)
        stats = stats._replace(learning_rate=rates)
        if not has_weight_norms:
            stats = stats._replace(weight_norm=())
        parts.append(stats)
    stats = jax.tree.map(lambda *vectors: jnp.concatenate(vectors), *parts)
    report: dict[str, Any] = {}
    if named and not isinstance(stats.leaf, jax.core.Tracer):
        report['layer'] = list(itertools.chain.from_iterable(map(_names, states)))
    rate = stats.learning_rate * stats.ratio
    report |= {
        'trust_ratio': stats.ratio,
        'gradient_norm': stats.direction_norm,
        'effective_learning_rate': rate,
        'update_norm': rate * stats.direction_norm,
        'clipped': stats.clipped,
    }
    if has_weight_norms:
        report |= _of_weights(stats.weight_norm, report['update_norm'])
    if stats.clipped.size:
        report['clip_fraction'] = stats.clipped.mean()
    else:  # the mean of none is NaN
        report['clip_fraction'] = jnp.zeros(())
    return report


def _of_weights(weight_norm, moved):
    is_zero = weight_norm == 0
    relative = moved / jnp.where(is_zero, 1, weight_norm)
    return {
        'weight_norm': weight_norm,
        'relative_update': jnp.where(is_zero & (moved > 0), jnp.inf, relative),
    }


def _names(state):
    """Paths of the adapted leaves that the optimizer saw, which its buffer is shaped like; a mask
    hides others.

    A leaf of several layers has its index behind its name.
    """
    names = jax.tree.leaves(paths(state[1]))
    positions = state.stats.leaf.tolist()
    layer_counts = collections.Counter(positions)
    labels, layers_before = [], collections.Counter()
    for i in positions:
        label = names[i]
        if layer_counts[i] > 1:
            label += f'[{layers_before[i]}]'
        labels.append(label)
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
