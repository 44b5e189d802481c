"""What the arrays of an example are: the inputs of a model, and what it is to say of them.

A data set describes its arrays by these, a model is built for them, a task checks that the two go
together.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp


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
    has_missing: bool = False  # NaN may stand for a number that is missing: it is given as shift


class Target(NamedTuple):
    """The array that a model learns to tell from the inputs."""

    kind: Literal['class', 'number', 'tokens']
    name: str = 'label'  # of the array
    classes: tuple[str, ...] = ()  # names of the classes, by their id
    # of a number: mean and standard deviation over the training split, > 0 [units of the target]
    mean: float = 0.0
    deviation: float = 1.0


def normalised(inputs: Mapping[str, Input], examples: Mapping[str, Any]) -> dict[str, Any]:
    """What a model is given of `examples`: {name: array [n, ...]}, images and numbers as
    float32."""
    return {name: _normalised(described, examples[name]) for name, described in inputs.items()}


def _normalised(described, values):
    if described.kind in ('categorical', 'tokens'):
        return values
    values = values.astype(jnp.float32)
    if described.has_missing:
        values = jnp.where(jnp.isnan(values), described.shift, values)
    if described.shift is not None:
        values = values - described.shift
    return values * described.scale


def only(arrays: Mapping[str, Any]) -> Any:
    """The array, where there is one; else all of them by name."""
    if len(arrays) == 1:
        (array,) = arrays.values()
        return array
    return dict(arrays)
