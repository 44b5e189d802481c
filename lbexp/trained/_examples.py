"""Examples of the user's, compared with those that were trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lbexp.errors import Refusal


def as_examples(
    arrays: Mapping[str, Any], like: Mapping[str, Any], names: Sequence[str], what: str
) -> dict[str, np.ndarray]:
    """The arrays of these names, in the types that were trained on; other names are left out.

    Args:
        like: shapes [1, ...] and types of the training examples, by name.
        what: they are, for messages.

    Raises:
        Refusal: a name that is missing, another shape, a type or values that the training
            examples' type does not hold, no examples, or arrays of several lengths.
    """
    missing = [name for name in names if name not in arrays]
    if missing:
        shown = ', '.join(map(str, arrays)) or 'nothing'
        raise Refusal(f'{what}: found {shown}; allowed: arrays named {", ".join(names)}')
    examples = {name: _example(f'{what}: {name}', arrays[name], like[name]) for name in names}
    sizes = {name: len(values) for name, values in examples.items()}
    if len(set(sizes.values())) != 1 or not min(sizes.values()):
        shown = ', '.join(f'{size} of {name}' for name, size in sizes.items())
        raise Refusal(f'{what}: found {shown}; allowed: one number of examples, 1 or more')
    return examples


def _example(what, values, like):
    try:
        values = np.asarray(values)
    except ValueError as error:  # lists of several lengths
        raise Refusal(f'{what}: found no array ({error}); allowed: {_described(like)}') from error
    if values.ndim != len(like.shape) or values.shape[1:] != like.shape[1:]:
        raise Refusal(f'{what}: found shape {values.shape}; allowed: {_described(like)}')
    # Pixels of floating point where bytes were trained on would be scaled twice.
    if not np.can_cast(values.dtype, like.dtype, 'same_kind'):
        # Integers of Python come as int64; whether they fit is looked at below.
        signed_as_unsigned = values.dtype.kind == 'i' and like.dtype.kind == 'u'
        if not signed_as_unsigned:
            raise Refusal(f'{what}: found {values.dtype}; allowed: {_described(like)}')
    if like.dtype.kind in 'iu' and values.size:
        low, high, limits = values.min(), values.max(), np.iinfo(like.dtype)
        if low < limits.min or high > limits.max:
            raise Refusal(f'{what}: found {low} to {high}; allowed: {_described(like)}')
    return values.astype(like.dtype)


def _described(like):
    shape = ', '.join(['n', *map(str, like.shape[1:])])
    return f'{like.dtype} [{shape}], as the training examples are'
