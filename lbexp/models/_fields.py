"""Columns of a table as fields: each a vector of one width, which models of clicks let interact."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from lbexp.inputs import Input
from lbexp.models._rows import read_rows
from lbexp.shapes import FieldNumbers, FieldPieces, Fields, FlatFields


class FieldVectors(nn.Module):
    """Each column of a table as a vector: of a category the row of a table, of a number x the
    vector x v + b of its column; of one in pieces sum_t e_t v_t + b, where e_t in [0, 1] is how
    much of the piece lies below x (Gorishniy et al. 2022, arXiv:2203.05556, eq. 1).

    Attributes:
        categories: number of ids of each categorical column.
        numbers: numeric columns.
        width: E, of a vector.
        pieces: limits of each numeric column's pieces, ascending, as numbers are given to models;
            (): there are none.
        has_offsets: whether there is a b.
    """

    categories: tuple[int, ...]
    numbers: int
    width: int
    pieces: tuple[tuple[float, ...], ...] = ()
    has_offsets: bool = True

    @nn.compact
    def __call__(self, arrays: Mapping[str, Any]) -> Fields:
        vectors = []
        normal = nn.initializers.normal(0.01)
        if self.categories:
            shape = (sum(self.categories), self.width)
            ids = _rows(self.categories, arrays['categorical'])
            vectors.append(read_rows(self.param('categories', normal, shape), ids))
        if self.numbers:
            parts = below(arrays['numeric'], self.pieces)
            slopes = self.param('slopes', normal, (*parts.shape[1:], self.width))
            of_numbers = jnp.einsum('nft,fte->nfe', parts, slopes)
            if self.has_offsets:
                of_numbers += self.param('offsets', normal, (1, self.numbers, self.width))
            vectors.append(of_numbers)
        return jnp.concatenate(vectors, axis=1)


def row_counts(vectors: FieldVectors, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """{path of the table: how often these examples read each of its rows, int32}, of the module
    whose field `vectors` is this one."""
    if not vectors.categories:
        return {}
    ids = _rows(vectors.categories, arrays['categorical'])
    counts = jnp.zeros(sum(vectors.categories), jnp.int32).at[ids.reshape(-1)].add(1)
    return {'vectors/categories': counts}


def _rows(categories, columns):
    """Rows of ids [n, columns]. One table for all columns: ids of a column begin where those before
    it end."""
    first = np.cumsum((0, *categories[:-1])).astype(np.int32)
    return columns + jnp.asarray(first)[None]


def below(numbers: FieldNumbers, pieces: tuple[tuple[float, ...], ...]) -> FieldPieces:
    """[n, columns, pieces]: how much of each piece lies below the number, in [0, 1]; of no pieces
    the number itself."""
    if not pieces:
        return numbers[..., None]
    count = max(len(limits) for limits in pieces) - 1
    start, slope = np.zeros((2, 1, len(pieces), count), np.float32)
    for column, limits in enumerate(pieces):
        # columns of fewer pieces have some more of slope 0
        used = slice(0, len(limits) - 1)
        start[0, column, used] = limits[:-1]
        slope[0, column, used] = 1 / np.diff(limits)
    parts = jnp.clip((numbers[..., None] - start) * slope, 0, 1)
    return parts.astype(numbers.dtype)


def field_vectors(
    name: str, inputs: Mapping[str, Input], width: int, has_offsets: bool = True
) -> FieldVectors:
    """The vectors of a table's columns.

    Args:
        name: of the model, for its errors.
        inputs: 'categorical' [columns], 'numeric' [columns], or both.
        width: of a vector.
        has_offsets: see FieldVectors.

    Raises:
        ValueError: inputs that are no columns of a table.
    """
    for key, described in inputs.items():
        if key not in ('categorical', 'numeric') or len(described.shape) != 1:
            raise ValueError(
                f'{name}: found {key!r}, {described.kind} of shape {described.shape}; allowed: '
                "columns of a table, 'categorical' and 'numeric'"
            )
    categories = inputs['categorical'].vocabulary if 'categorical' in inputs else ()
    numbers = inputs['numeric'].shape[0] if 'numeric' in inputs else 0
    pieces = _pieces(inputs['numeric']) if numbers else ()
    return FieldVectors(tuple(categories), numbers, width, pieces, has_offsets)


def _pieces(described):
    """Limits in the unit that a model is given; what lies beyond the last one has no piece."""
    if not described.edges:
        return ()
    count = described.shape[0]
    scales = np.broadcast_to(described.scale, count)
    shifts = np.broadcast_to(0 if described.shift is None else described.shift, count)
    pieces = []
    for limits, shift, scale in zip(described.edges, shifts, scales):
        ends = np.asarray(limits, np.float64)
        ends = (ends[np.isfinite(ends)] - shift) * scale
        pieces.append(tuple(ends.tolist()))
    return tuple(pieces)


class Perceptron(nn.Module):
    """Dense layers with ReLU; of no layers what it is given.

    Attributes:
        hidden: widths of the layers [units].
    """

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Any) -> Any:
        for width in self.hidden:
            x = nn.relu(nn.Dense(width)(x))
        return x


def flat(fields: Fields) -> FlatFields:
    """[n, F E]: the vectors of an example one after another."""
    return fields.reshape(len(fields), -1)
