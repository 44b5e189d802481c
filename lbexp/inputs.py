"""What the arrays of an example are: the inputs of a model, and what it is to say of them.

A data set describes its arrays by these, a model is built for them, a task checks that the two go
together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from lbexp.errors import Refusal


class Input(NamedTuple):
    """One array of inputs.

    A model is given images and numbers as float32, (x - shift) * scale; shift and scale are those
    of the training split alone, or of the format. It is given ids as they are stored.
    """

    kind: Literal['image', 'numeric', 'categorical', 'tokens']
    shape: tuple[int, ...]  # of one example; (h, w, c) of an image, (columns,) of a table
    dtype: str  # as stored
    scale: Any = 1.0  # a number, or one for each entry of the last axis
    shift: Any = None  # the same; None: nothing is subtracted
    # categorical: number of ids of each column; tokens: (number of ids,)
    vocabulary: tuple[int, ...] = ()
    padding: int | None = None  # id that stands where there is no token; None: there is no such id
    columns: tuple[str, ...] = ()  # names of the columns of a table
    # categorical: the texts of each column that have the ids 1, 2, ...; 0 is any other
    categories: tuple[tuple[str, ...], ...] = ()
    # of numbers: limits that cut each column into pieces, ascending, in the column's own unit.
    # categorical: ids 1, 2, ... are the intervals between them, (): the column's are texts;
    # numeric: what a model may take instead of the number, see models._fields
    edges: tuple[tuple[float, ...], ...] = ()
    has_missing: bool = False  # NaN may stand for a number that is missing: it is given as shift


class Target(NamedTuple):
    """The array that a model learns to tell from the inputs."""

    # tokens: the one after each; masked_tokens: those of the inputs that a task hides
    kind: Literal['class', 'number', 'tokens', 'masked_tokens']
    name: str = 'label'  # of the array
    classes: tuple[str, ...] = ()  # names of the classes, by their id
    # of a number: mean and standard deviation over the training split, > 0 [units of the target]
    mean: Any = 0.0  # numbers, which may be traced, as scale and shift of an input may
    deviation: Any = 1.0


def normalised(inputs: Mapping[str, Input], examples: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is given of `examples`: {name: array [n, ...]}, images and numbers as
    float32."""
    return {name: _normalised(described, examples[name]) for name, described in inputs.items()}


def _normalised(described, values):
    if described.kind in ('categorical', 'tokens'):
        return values
    values = values.astype(jnp.float32)
    if described.shift is not None:
        shift = _along_last(described.shift, values.ndim)
        if described.has_missing:
            values = jnp.where(jnp.isnan(values), shift, values)
        values = values - shift
    return values * _along_last(described.scale, values.ndim)


def _along_last(numbers, rank):
    """One for each entry of the last axis, with axes of 1 before it; a number as it is."""
    if np.ndim(numbers) == 0:
        return numbers
    return np.reshape(numbers, (1,) * (rank - 1) + (-1,))


def encoded(inputs: Mapping[str, Input], columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """{name: array [n, ...]} of the columns of a table, as the training examples have them.

    Args:
        columns: {column: n numbers or texts}; others than the inputs' are left out.

    Raises:
        Refusal: a column is missing, or holds texts where numbers are wanted.
    """
    arrays = {}
    for name, described in inputs.items():
        missing = [column for column in described.columns if column not in columns]
        if missing:
            shown = ', '.join(map(str, columns.keys())) or 'none'
            raise Refusal(f'columns: found {shown}; allowed: {missing[0]} among them')
        if described.kind == 'categorical':
            values = []
            edges = described.edges or ((),) * len(described.columns)
            for column, known, limits in zip(described.columns, described.categories, edges):
                if limits:
                    values.append(intervals_of(_floats(column, columns[column]), limits))
                else:
                    values.append(ids_of(columns[column], known))
        else:
            values = [_floats(column, columns[column]) for column in described.columns]
        arrays[name] = np.stack(values, axis=1)
    return arrays


def ids_of(values: Any, known: Sequence[str]) -> np.ndarray:
    """int32 [n]: 1 + the place of each text among the known ones, which are sorted; 0: it is none
    of them."""
    texts = np.asarray(values).astype(np.str_)
    if not len(known):
        return np.zeros(len(texts), np.int32)
    sorted_texts = np.asarray(known, np.str_)
    places = np.minimum(np.searchsorted(sorted_texts, texts), len(known) - 1)
    return np.where(sorted_texts[places] == texts, places + 1, 0).astype(np.int32)


def intervals_of(numbers: np.ndarray, limits: Sequence[float]) -> np.ndarray:
    """int32 [n]: 1 + the number of inner limits that are at most the number; 0: it is NaN.

    Args:
        limits: ascending; what is beyond the first or the last is of the first or last interval.
    """
    inner = np.asarray(limits[1:-1], np.float32)
    places = 1 + np.searchsorted(inner, numbers, side='right')
    return np.where(np.isnan(numbers), 0, places).astype(np.int32)


def _floats(column, values):
    try:
        return np.asarray(values, np.float32)
    except (ValueError, TypeError) as error:
        raise Refusal(f'column {column!r}: found {error}; allowed: numbers') from error


def only(arrays: Mapping[str, Any]) -> Any:
    """The array, where there is one; else all of them by name."""
    if len(arrays) == 1:
        (array,) = arrays.values()
        return array
    return dict(arrays)
