"""Where examples come from: a pure function of seed and position."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from lbexp.data.order import order
from lbexp.shapes import Examples, Places, Positions, Seed, StoredExamples


class Source(NamedTuple):
    """A data set as the engine sees it.

    Position p = epoch * size + offset counts examples from the start of training; batches straddle
    epochs, nothing is dropped.
    """

    size: int  # examples in an epoch
    arrays: Any  # pytree that every compiled program takes as an argument, never a constant in it
    draw: Callable[[Any, Seed, Positions], Examples]  # of arrays, in training order
    read: Callable[[Any, Places], Examples]  # of arrays, in stored order
    # streams: (seed, first, count) -> arrays for positions first .. first+count-1
    feed: Callable[[int, int, int], Any] | None = None


def memory(examples: StoredExamples, replacement: bool = False) -> Source:
    """A source whose examples all live on the device.

    Args:
        examples: {name: [size, ...]}, all of one length, 1 .. 2^31.
        replacement: draw each position's example independently, as the theory of stochastic
            gradients has it. Without replacement, the default and common practice, the gradient
            noise of an epoch adds up to nearly nothing.

    Raises:
        ValueError: no examples, or arrays of different lengths.
    """
    sizes = {name: len(values) for name, values in examples.items()}
    if len(set(sizes.values())) != 1 or not 1 <= min(sizes.values()) <= 2**31:
        raise ValueError(f'examples: found sizes {sizes}; allowed: one length, 1 .. 2^31')
    (size,) = set(sizes.values())

    def read(arrays, positions):
        return jax.tree.map(lambda values: jnp.asarray(values)[positions], arrays)

    def draw(arrays, seed, positions):
        return read(arrays, drawn_places(seed, positions, size, replacement))

    return Source(size, examples, draw, read)


def drawn_places(seed: Seed, positions: Positions, size: int, replacement: bool) -> Places:
    """Places of the examples that training draws at these positions.

    Args:
        size: examples in all.
        replacement: see `memory`.
    """
    if not replacement:
        return order(seed, positions, size)

    def place(position):
        key = jax.random.fold_in(jax.random.key(seed), position)
        return jax.random.randint(key, (), 0, size)

    return jax.vmap(place)(positions)
