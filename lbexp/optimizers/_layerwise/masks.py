"""Which parameters an option applies to."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from lbexp.optimizers._layerwise.layers import StackedAxes, stacked
from lbexp.optimizers._layerwise.prefixes import broadcast, is_function, paths
from lbexp.ranges import Patterns

# See `masks`.
Mask = bool | Annotated[str | Sequence[str] | Mapping[str, Any] | Callable | object, Patterns()]


def masks(
    which: Mask, params: Any, stacked_axes: StackedAxes = None, argument: str = 'mask'
) -> Any:
    """A tree of bools like `params`.

    The default of every optimizer here is 'matrices': what has two or more axes is decayed and
    adapted, biases and normalization scales are not. (You et al. 2020, arXiv:1904.00962, and MLPerf
    exclude these by name.) Leading axes that count layers, as nn.scan makes them, do not count: a
    bias of [layers, width] is still a vector.

    Args:
        which: 'matrices'; 'all' or True; 'none' or False; regular expressions: parameters whose
            path ('Dense_0/kernel') one of them matches somewhere, where one that begins with '!'
            excludes ('!bias' alone means all but biases); or what optax.masked takes: a tree of
            bools like `params` or a prefix of it, a function of `params` that returns one. Bools
            may be traced where they say what is decayed.
        stacked_axes: as in layers.stacked.
        argument: what errors call `which`.

    Raises:
        ValueError: an expression that is none or matches no path, a tree of another structure (its
            first differing paths are named), entries that are no bools.
    """
    if isinstance(which, str) and which == 'matrices':
        ranks = stacked(params, stacked_axes)
        return jax.tree.map(lambda leaf, rank: leaf.ndim - rank >= 2, params, ranks)
    if isinstance(which, str) and which in ('all', 'none'):
        return jax.tree.map(lambda leaf: which == 'all', params)
    is_sequence = isinstance(which, Sequence) and len(which) > 0
    if isinstance(which, str) or (
        is_sequence and all(isinstance(pattern, str) for pattern in which)
    ):
        return _matching([which] if isinstance(which, str) else list(which), params, argument)
    tree = broadcast(which(params) if is_function(which) else which, params, argument)
    return jax.tree.map(lambda name, entry: _as_bool(name, entry, argument), paths(params), tree)


def _as_bool(name, entry, argument):
    is_scalar = isinstance(entry, bool) or getattr(entry, 'shape', None) == ()
    if not is_scalar or not jnp.issubdtype(jnp.result_type(entry), jnp.bool_):
        raise ValueError(f'{argument}: found {entry!r} for {name!r}; allowed: True, False')
    return entry if isinstance(entry, jax.core.Tracer) else bool(entry)


def _matching(patterns, params, argument):
    names = jax.tree.leaves(paths(params))
    problem = Patterns().violation(patterns)
    if problem:
        raise ValueError(f'{argument}: found {patterns!r}; allowed: {problem}')
    for pattern in patterns:
        # Without parameters there is nothing to match: optax asks for such a state to see its
        # structure.
        if names and not any(re.search(pattern.removeprefix('!'), name) for name in names):
            raise ValueError(
                f'{argument}: found {pattern!r}, which matches no parameter. There are: '
                f'{", ".join(names)}'
            )
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith('!')]
    included = [pattern for pattern in patterns if not pattern.startswith('!')] or ['']

    def is_marked(name):
        is_included = any(re.search(pattern, name) for pattern in included)
        return is_included and not any(re.search(pattern, name) for pattern in excluded)

    return jax.tree.map(is_marked, paths(params))
