"""One fold of several, whose number may be traced: the arrays are those of all folds, and which
rows are whose is looked up while a program runs, so that folds of one size share it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from lbexp.data.division import known_fold
from lbexp.data.source import Source, drawn_places
from lbexp.shapes import StoredExamples

_MOST = 2**24  # numbers of rows, of all folds together: 64 MB


class FoldArrays(NamedTuple):
    """The arrays of a source, of which a fold has some rows."""

    examples: StoredExamples  # of all folds
    rows: Any  # of each fold's examples among them, int32 [folds, size]


def fold_source(
    examples: StoredExamples, rows: Sequence[np.ndarray], fold: Any, replacement: bool = False
) -> Source:
    """A source of the examples that one fold has, drawn and read as `memory` of these alone.

    Args:
        examples: {name: [all, ...]}.
        rows: of each fold, the rows of its examples in stored order, [size].
        fold: 0 .. len(rows) - 1, traced: one that is known has a `memory` of its own.
        replacement: see lbexp.data.source.memory.

    Raises:
        ValueError: the folds differ in size, or have more than 2^24 rows together.
    """
    sizes = sorted({len(places) for places in rows})
    if len(sizes) > 1:
        known_fold(fold, f'folds have {sizes[0]} or {sizes[-1]} examples')
    if sum(map(len, rows)) > _MOST:
        known_fold(fold, f'{len(rows)} folds have more than {_MOST} rows together')
    size = len(rows[0])

    def read(arrays, places):
        # what is drawn may be something else, such as the examples' numbers
        if isinstance(arrays, FoldArrays):
            examples, places = arrays.examples, jnp.asarray(arrays.rows)[fold, places]
        else:
            examples = arrays
        return {name: jnp.asarray(values)[places] for name, values in examples.items()}

    def draw(arrays, seed, positions):
        return read(arrays, drawn_places(seed, positions, size, replacement))

    return Source(size, FoldArrays(examples, np.stack(rows).astype(np.int32)), draw, read)
