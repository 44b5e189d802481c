"""Columns of a table as fields: each a vector of one width, which models of clicks let interact."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from lbexp.inputs import Input
from lbexp.shapes import Fields


class FieldVectors(nn.Module):
    """Each column of a table as a vector: of a category the row of a table, of a number x the
    vector x v + b of its column.

    Attributes:
        categories: number of ids of each categorical column.
        numbers: numeric columns.
        width: E, of a vector.
    """

    categories: tuple[int, ...]
    numbers: int
    width: int

    @nn.compact
    def __call__(self, arrays: Mapping[str, Any]) -> Fields:
        vectors = []
        normal = nn.initializers.normal(0.01)
        if self.categories:
            # One table for all columns: ids of a column begin where those before it end.
            first = np.cumsum((0, *self.categories[:-1])).astype(np.int32)
            ids = arrays['categorical'] + jnp.asarray(first)[None]
            shape = (sum(self.categories), self.width)
            vectors.append(self.param('categories', normal, shape)[ids])
        if self.numbers:
            shape = (1, self.numbers, self.width)
            slope = self.param('slopes', normal, shape)
            bias = self.param('biases', normal, shape)
            vectors.append(arrays['numeric'][..., None] * slope + bias)
        return jnp.concatenate(vectors, axis=1)


def field_vectors(name: str, inputs: Mapping[str, Input], width: int) -> FieldVectors:
    """The vectors of a table's columns.

    Args:
        name: of the model, for its errors.
        inputs: 'categorical' [columns], 'numeric' [columns], or both.
        width: of a vector.

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
    return FieldVectors(tuple(categories), numbers, width)


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


def flat(fields: Fields) -> Any:
    """[n, F E]: the vectors of an example one after another."""
    return fields.reshape(len(fields), -1)
