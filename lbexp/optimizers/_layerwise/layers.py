"""What a layer is."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class LayerFacts(NamedTuple):
    """What a layerwise optimizer did at its last update: a number for each adapted layer, in vectors [layers].

    Vectors, because they are not shaped like parameters: what maps over a state's parameters passes them by.
    """

    leaf: jax.Array  # int32, position of the layer's leaf among the leaves of the parameters
    weight_norm: jax.Array  # |w| before the update
    direction_norm: jax.Array  # norm in the ratio's denominator (of the gradient, or of the direction)
    ratio: jax.Array  # trust ratio
    clipped: jax.Array  # bool, the ratio met one of its bounds
    learning_rate: jax.Array  # scalar


def layers(params: Any, stacked_axes: Any = 0) -> dict[str, tuple[int, ...]]:
    """{path: how many layers the leaf holds, by stacked axis}; () for a leaf that is one layer."""
    ranks = jax.tree.leaves(stacked(params, stacked_axes))
    leaves, names = jax.tree.leaves(params), jax.tree.leaves(paths(params))
    return {name: leaf.shape[:rank] for name, leaf, rank in zip(names, leaves, ranks, strict=True)}


def stacked(params: Any, stacked_axes: Any) -> Any:
    """How many leading axes of each leaf count layers: a tree of ints.

    A layer is what one trust ratio belongs to. A leaf is one layer, unless leading axes say otherwise: under nn.scan
    the kernels of L layers are one leaf [L, ...], and one ratio for all of them is wrong for each.

    Args:
        stacked_axes: an int for all leaves; {regular expression: int} for paths ('blocks/Dense_0/kernel'), the first
            that matches counts, 0 where none does; or a function path -> int.

    Raises:
        ValueError: an expression matches no path, or a leaf has fewer axes.
    """
    names = paths(params)
    if isinstance(stacked_axes, Mapping):
        known = jax.tree.leaves(names)
        for pattern in stacked_axes:
            if known and not any(re.search(pattern, name) for name in known):
                raise ValueError(f'stacked_axes: {pattern!r} matches no parameter. There are: {", ".join(known)}')
        count = lambda name: next((n for pattern, n in stacked_axes.items() if re.search(pattern, name)), 0)
    else:
        count = stacked_axes if isinstance(stacked_axes, Callable) else lambda name: stacked_axes

    def checked(name, leaf):
        if not 0 <= count(name) <= leaf.ndim:
            raise ValueError(f'stacked_axes: found {count(name)} for {name!r}, which has {leaf.ndim} axes')
        return count(name)

    return jax.tree.map(checked, names, params)


def paths(params: Any) -> Any:
    """A tree of the leaves' paths, 'Dense_0/kernel'."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path, simple=True, separator='/'), params
    )


def spread(values: jax.Array, leaf: jax.Array) -> jax.Array:
    """A number per layer, [stack...], with axes of length 1 so that it meets `leaf`."""
    return values.reshape(values.shape + (1,) * (leaf.ndim - values.ndim))


def wide(x: jax.Array) -> jax.Array:
    """`x` in the precision that updates are computed in: float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
