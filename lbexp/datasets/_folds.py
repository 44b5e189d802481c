"""The data set of one fold of several, whose number is traced."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from lbexp.data.division import known_fold
from lbexp.data.folds import fold_source
from lbexp.datasets import Dataset
from lbexp.inputs import Input, Target


class Encoded(NamedTuple):
    """A data set that is not divided yet."""

    arrays: dict[str, np.ndarray]  # all examples
    rows: dict[str, np.ndarray]  # of those of 'train', 'validation', 'test', whichever there are
    inputs: dict[str, Input]  # with shift and scale of the training rows
    target: Target
    schema: dict[str, Any]


def of_fold(folds: Sequence[Encoded], fold: Any, replacement: bool) -> Dataset:
    """The data set of a fold: the same arrays for all, rows and normalisation by its number. It
    has no schema, which is read of folds that are known.

    Args:
        folds: each as it is by itself, up to the first that is not alike.
        fold: 0 .. len(folds) - 1, traced.
        replacement: draw training examples with replacement.

    Raises:
        ValueError: the folds differ in size, or in the categories, limits or columns that the
            training rows decide.
    """
    first = folds[0]
    if not is_alike(first, folds[-1]):
        known_fold(fold, 'the training rows of each fold decide what is a category')
    parts = {}
    for part in first.rows:
        rows = [encoded.rows[part] for encoded in folds]
        parts[part] = fold_source(first.arrays, rows, fold, replacement and part == 'train')
    inputs = {}
    for name, described in first.inputs.items():
        scales = [encoded.inputs[name].scale for encoded in folds]
        shifts = [encoded.inputs[name].shift for encoded in folds]
        inputs[name] = described._replace(scale=_of(fold, scales), shift=_of(fold, shifts))
    target = first.target._replace(
        mean=_of(fold, [encoded.target.mean for encoded in folds]),
        deviation=_of(fold, [encoded.target.deviation for encoded in folds]),
    )
    return Dataset(
        train=parts['train'],
        validation=parts.get('validation'),
        test=parts.get('test'),
        inputs=inputs,
        target=target,
    )


def is_alike(first: Encoded, other: Encoded) -> bool:
    """Whether two folds differ in rows and normalisation alone."""
    return _fixed(first) == _fixed(other) and all(
        _is_equal(first.arrays[name], other.arrays[name]) for name in first.arrays
    )


def _fixed(encoded):
    """What a program cannot look up by the number of the fold."""
    inputs = {}
    for name, described in encoded.inputs.items():
        inputs[name] = described._replace(scale=None, shift=None)
    return inputs, encoded.target._replace(mean=0.0, deviation=1.0)


def _is_equal(left, right):
    if left is right:
        return True
    return np.array_equal(left, right, equal_nan=left.dtype.kind == 'f')


def _of(fold, values):
    """That of the fold; where all have the same number, or none has one, as it is."""
    if all(np.array_equal(values[0], value) for value in values):
        return values[0]
    return jnp.asarray(np.stack(values), jnp.float32)[fold]
