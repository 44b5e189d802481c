"""The norms that trust ratios are made of."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax

from lbexp.optimizers._layerwise.leaves import Leaf
from lbexp.optimizers._layerwise.norms import pairs


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
    norms = pairs(weights, adapted_directions, ranks, axis_name, stored)
    return dict(zip(adapted, norms, strict=True))
