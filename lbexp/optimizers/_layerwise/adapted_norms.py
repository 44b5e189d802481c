"""The norms that trust ratios are made of."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax

from lbexp.optimizers._layerwise.leaves import Leaf
from lbexp.optimizers._layerwise.norms import norms, pairs


def adapted_norms(
    leaves: Sequence[Leaf],
    positions: Iterable[int],
    directions: Mapping[int, jax.Array] | Sequence[jax.Array],
    axis_name: Any,
    stored: bool = True,
) -> dict[int, tuple[jax.Array, jax.Array]]:
    """{position: (|w|, |d|) of the leaf's layers} for the adapted ones among the leaves.

    Args:
        leaves: all of them.
        positions: which of them to look at.
        directions: d by position, the gradient, or what the step goes along.
        axis_name, stored: as in norms.pairs.
    """
    adapted = [i for i in positions if leaves[i].is_adapted]
    weights, adapted_directions, ranks = [], [], []
    for i in adapted:
        weights.append(leaves[i].weights)
        adapted_directions.append(directions[i])
        ranks.append(leaves[i].stacked_axes)
    pairs_of_norms = pairs(weights, adapted_directions, ranks, axis_name, stored)
    return dict(zip(adapted, pairs_of_norms, strict=True))


def decayed_norm(leaf: Leaf, weight_norm: jax.Array, axis_name: Any) -> jax.Array:
    """|w| of the leaf's layers over the rows that are decayed.

    Args:
        weight_norm: |w| over all rows: what it is where the leaf decays as a whole.
        axis_name: as in norms.norms.
    """
    if leaf.is_lazy is False:
        return weight_norm
    return norms([leaf.decayed_weights()], [leaf.stacked_axes], axis_name, [False])[0]
