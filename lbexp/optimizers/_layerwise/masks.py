"""Which parameters an option applies to."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeGuard

import jax
import jax.numpy as jnp

from lbexp.optimizers._layerwise.layers import StackedAxes, stacked
from lbexp.optimizers._layerwise.prefixes import broadcast, is_found, is_function, paths
from lbexp.ranges import Patterns

# What flax.linen.Embed, nnx.Embed and the models here call tables with a row for each id. Ids are
# data's: positions and segments, of which each batch has about the same, are none.
_TABLES = r'(^|/)(categories|embedding|CoAction_\d+/(networks|inputs))$'

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
        which: 'matrices'; 'tables': those of ids, named 'embedding' (flax.linen.Embed, nnx.Embed)
            or as the models here name them, of a network without any nothing; 'all' or True;
            'none' or False; regular expressions: parameters whose path ('Dense_0/kernel') one of
            them matches somewhere, where one that begins with '!' excludes ('!bias' alone means
            all but biases); or what optax.masked takes: a tree of bools like `params` or a prefix
            of it, a function of `params` that returns one. Bools may be traced where they say what
            is decayed.
        stacked_axes: as in layers.stacked.
        argument: what errors call `which`.

    Raises:
        ValueError: an expression that is none or matches no path, a tree of another structure (its
            first differing paths are named), entries that are no bools.
    """
    if isinstance(which, str):
        if which == 'matrices':
            ranks = stacked(params, stacked_axes)
            return jax.tree.map(_is_matrix, params, ranks)
        if which == 'tables':
            return jax.tree.map(_is_table, paths(params))
        if which in ('all', 'none'):
            return jax.tree.map(lambda leaf: which == 'all', params)
        return _matching([which], params, argument)
    if _are_patterns(which):
        return _matching(list(which), params, argument)
    if is_function(which):
        which = which(params)
    tree = broadcast(which, params, argument)
    return jax.tree.map(lambda name, entry: _as_bool(name, entry, argument), paths(params), tree)


def _is_matrix(leaf, rank):
    return leaf.ndim - rank >= 2


def _is_table(name):
    return re.search(_TABLES, name) is not None


def _are_patterns(which) -> TypeGuard[Sequence[str]]:
    """An empty sequence is a tree without entries."""
    if not isinstance(which, Sequence) or not which:
        return False
    return all(isinstance(pattern, str) for pattern in which)


def _as_bool(name, entry, argument):
    is_scalar = isinstance(entry, bool) or getattr(entry, 'shape', None) == ()
    if not is_scalar or not jnp.issubdtype(jnp.result_type(entry), jnp.bool_):
        raise ValueError(f'{argument}: found {entry!r} for {name!r}; allowed: True, False')
    if isinstance(entry, jax.core.Tracer):
        return entry
    return bool(entry)


def _matching(patterns, params, argument):
    names = jax.tree.leaves(paths(params))
    problem = Patterns().violation(patterns)
    if problem:
        raise ValueError(f'{argument}: found {patterns!r}; allowed: {problem}')
    for pattern in patterns:
        # Without parameters there is nothing to match: optax asks for such a state to see its
        # structure.
        if names and not is_found(pattern.removeprefix('!'), names):
            raise ValueError(
                f'{argument}: found {pattern!r}, which matches no parameter. There are: '
                f'{", ".join(names)}'
            )
    included, excluded = [], []
    for pattern in patterns:
        if pattern.startswith('!'):
            excluded.append(pattern[1:])
        else:
            included.append(pattern)
    # '!bias' alone means all but biases: the empty expression is found in every path.
    included = included or ['']

    def is_marked(name):
        return _matches_any(included, name) and not _matches_any(excluded, name)

    return jax.tree.map(is_marked, paths(params))


def _matches_any(patterns, name):
    return any(re.search(pattern, name) for pattern in patterns)
