"""Which parameters an option applies to."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import jax

from lbexp.optimizers._layerwise.layers import paths, stacked


def masks(which: Any, params: Any, stacked_axes: Any = 0) -> Any:
    """A tree of bools like `params`.

    The default of every optimizer here is 'matrices': what has two or more axes is decayed and adapted, biases and
    normalization scales are not. (You et al. 2020, arXiv:1904.00962, and MLPerf exclude these by name.) Leading axes
    that count layers, as nn.scan makes them, do not count: a bias of [layers, width] is still a vector.

    Args:
        which: 'matrices'; 'all'; 'none'; a tree of bools like `params`; a function of `params` that returns one; or
            regular expressions: parameters whose path ('Dense_0/kernel') one of them matches somewhere. One that begins
            with '!' excludes: '!bias' alone means all but biases.
        stacked_axes: as in layers.stacked.

    Raises:
        ValueError: an expression matches no path.
    """
    if which == 'matrices':
        ranks = stacked(params, stacked_axes)
        return jax.tree.map(lambda leaf, rank: leaf.ndim - rank >= 2, params, ranks)
    if which in ('all', 'none'):
        return jax.tree.map(lambda leaf: which == 'all', params)
    if isinstance(which, Callable):
        return which(params)
    if isinstance(which, str) or (isinstance(which, Sequence) and all(isinstance(w, str) for w in which)):
        return _matching([which] if isinstance(which, str) else list(which), params)
    return which


def _matching(patterns, params):
    names = jax.tree.leaves(paths(params))
    for pattern in patterns:
        # Without parameters there is nothing to match: optax asks for such a state to see its structure.
        if names and not any(re.search(pattern.removeprefix('!'), name) for name in names):
            raise ValueError(f'mask: found {pattern!r}, which matches no parameter. There are: {", ".join(names)}')
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith('!')]
    included = [pattern for pattern in patterns if not pattern.startswith('!')] or ['']
    hit = lambda path, some: any(re.search(pattern, path) for pattern in some)
    return jax.tree.map(lambda path: hit(path, included) and not hit(path, excluded), paths(params))
