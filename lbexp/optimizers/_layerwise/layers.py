"""What a layer is."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge

from lbexp.optimizers._layerwise.prefixes import broadcast, is_found, is_function, paths
from lbexp.ranges import Patterns, concrete

# How many leading axes of which leaf count layers: see `stacked`.
StackedAxes = (
    Annotated[int, Ge(0)] | Annotated[Mapping[str, Any] | Callable | object, Patterns()] | None
)


class TrustRatioStats(NamedTuple):
    """What a layerwise optimizer did at its last update: a number for each adapted layer, in
    vectors [layers].

    Vectors, because they are not shaped like parameters: what maps over a state's parameters passes
    them by.
    """

    leaf: jax.Array  # int32, position of the layer's leaf among the leaves of the parameters
    weight_norm: Any  # |w| before the update; (): the optimizer does not measure it
    # norm in the ratio's denominator (of the gradient, or of the direction)
    direction_norm: jax.Array
    ratio: jax.Array  # trust ratio
    clipped: jax.Array  # bool, the ratio met one of its bounds
    learning_rate: jax.Array  # scalar


def layers(params: Any, stacked_axes: StackedAxes = None) -> dict[str, tuple[int, ...]]:
    """{path: how many layers the leaf holds, by stacked axis}; () for a leaf that is one layer."""
    ranks = jax.tree.leaves(stacked(params, stacked_axes))
    names = jax.tree.leaves(paths(params))
    stacks = {}
    for name, leaf, rank in zip(names, jax.tree.leaves(params), ranks, strict=True):
        stacks[name] = leaf.shape[:rank]
    return stacks


def stacked(params: Any, stacked_axes: StackedAxes) -> Any:
    """How many leading axes of each leaf count layers: a tree of ints.

    A layer is what one trust ratio belongs to. A leaf is one layer, unless leading axes say
    otherwise: under nn.scan the kernels of L layers are one leaf [L, ...], and one ratio for all of
    them is wrong for each.

    Args:
        stacked_axes: an int for all leaves (None: 0); {regular expression: int} for paths
            ('blocks/Dense_0/kernel'), the first that matches counts, 0 where none does; a function
            path -> int; or a tree of ints like `params` or a prefix of it.

    Raises:
        ValueError: an expression matches no path, a leaf has fewer axes, the tree is another
            model's, or a number is no integer that is known when the optimizer is built.
    """
    names = paths(params)
    counts = _counts(names, stacked_axes)
    return jax.tree.map(_refused_beyond_axes, names, counts, params)


def expand_like(values: jax.Array, leaf: jax.Array) -> jax.Array:
    """A number per layer, [stack...], with axes of length 1 so that it meets `leaf`."""
    missing_axes = leaf.ndim - values.ndim
    return values.reshape(values.shape + (1,) * missing_axes)


def divide_or_zero(numerator: Any, x: jax.Array) -> jax.Array:
    """numerator / x where x > 0, else 0; no division by 0 on the way, whose derivative is NaN."""
    return jnp.where(x > 0, numerator / jnp.where(x > 0, x, 1), 0)


def _counts(names, stacked_axes):
    if stacked_axes is None:
        stacked_axes = 0
    if is_function(stacked_axes):
        return jax.tree.map(stacked_axes, names)
    if jax.tree_util.all_leaves([stacked_axes]):
        return jax.tree.map(lambda name: stacked_axes, names)
    if isinstance(stacked_axes, Mapping):
        counts = list(stacked_axes.values())
        # Where a value is a mapping itself it is a tree like the parameters.
        if jax.tree_util.all_leaves(counts):
            return _matched(names, stacked_axes)
    return broadcast(stacked_axes, names, 'stacked_axes')


def _matched(names, stacked_axes):
    known = jax.tree.leaves(names)
    for pattern in stacked_axes:
        if known and not is_found(pattern, known):
            raise ValueError(
                f'stacked_axes: {pattern!r} matches no parameter. There are: {", ".join(known)}'
            )

    def count(name):
        for pattern, axes in stacked_axes.items():
            if re.search(pattern, name):
                return axes
        return 0

    return jax.tree.map(count, names)


def _refused_beyond_axes(name, count, leaf):
    if isinstance(count, jax.core.Tracer):
        raise ValueError(
            f'stacked_axes: found a traced number for {name!r}; allowed: an integer that is '
            'known when the optimizer '
            "is built (optax.inject_hyperparams: static_args=('stacked_axes',))"
        )
    number = concrete(count)
    if not isinstance(number, int):
        raise ValueError(f'stacked_axes: found {count!r} for {name!r}; allowed: an integer')
    if not 0 <= number <= leaf.ndim:
        raise ValueError(f'stacked_axes: found {number} for {name!r}, which has {leaf.ndim} axes')
    return number
