"""Ranges of numbers and names of variants: written once, as annotations, and checked when a
function is called.

    @checked
    def sgd(learning_rate: NonNegative, form: Literal['outside', 'inside'] = 'outside'): ...

    sgd(-1)  # ValueError: learning_rate: found -1; allowed: a number >= 0

What cannot be seen is not looked at: traced arrays, what a schedule will return, arrays other than
a scalar.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import annotated_types
import jax
import numpy as np

from lbexp.ranges.checking import FINITE, concrete, in_words, is_number, violation
from lbexp.ranges.checking import checked as checked

Number = float | np.number | jax.Array
Fraction = Annotated[Number, annotated_types.Interval(ge=0, lt=1)]
ClosedFraction = Annotated[Number, annotated_types.Interval(ge=0, le=1)]
PositiveFraction = Annotated[Number, annotated_types.Interval(gt=0, le=1)]
NonNegative = Annotated[Number, annotated_types.Ge(0)]
Positive = Annotated[Number, annotated_types.Gt(0)]
OpenFraction = Annotated[Number, annotated_types.Interval(gt=0, lt=1)]
NonNegativeInteger = Annotated[int, annotated_types.Ge(0)]
PositiveInteger = Annotated[int, annotated_types.Ge(1)]
Trials = Annotated[int, annotated_types.Interval(ge=1, le=10**6)]
ArrayLength = Annotated[int, annotated_types.Interval(ge=1, le=10**8)]  # of an array made at once
FiniteNonNegative = Annotated[Number, annotated_types.Interval(ge=0, le=FINITE)]
FinitePositive = Annotated[Number, annotated_types.Interval(gt=0, le=FINITE)]
Seed = Annotated[int, annotated_types.Interval(ge=0, le=2**32 - 1)]

# Integers that may be traced.
Count = int | np.integer | jax.Array
NonNegativeCount = Annotated[Count, annotated_types.Ge(0)]
PositiveCount = Annotated[Count, annotated_types.Ge(1)]

# A number, or a function of the updates done (optax.Schedule).
NonNegativeSchedule = NonNegative | Callable[[Any], Any]


class Ascending:
    """Metadata of a pair of limits: low <= high."""

    words = '(low, high) with low <= high'

    def violation(self, value: Any) -> str | None:
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            return self.words
        low, high = map(concrete, value)
        if low is None or high is None:
            # A limit that is traced may be any number.
            return None if all(map(is_number, value)) else self.words
        return None if low <= high else self.words


class Patterns:
    """Metadata of texts that are regular expressions: one, a sequence of them, or the keys of a
    mapping to numbers."""

    words = 'a regular expression'

    def violation(self, value: Any) -> str | None:
        for pattern in self._patterns(value):
            try:
                re.compile(pattern.removeprefix('!'))
            except re.error as error:
                return f'{self.words} ({pattern!r} is none: {error}; any text is written .*)'
        return None

    @staticmethod
    def _patterns(value):
        if isinstance(value, str):
            return [value]
        maps_to_numbers = isinstance(value, Mapping) and all(
            type(number) is int for number in value.values()
        )
        several = value if maps_to_numbers or isinstance(value, Sequence) else []
        return [pattern for pattern in several if isinstance(pattern, str)]


class Elements:
    """Metadata of a sequence of numbers, each within a range, none smaller than the one before
    it."""

    def __init__(self, element: Any):
        self.element = element

    def violation(self, value: Any) -> str | None:
        words = f'numbers {in_words(self.element)}, ascending'
        is_vector = isinstance(value, (np.ndarray, jax.Array)) and value.ndim == 1
        if isinstance(value, jax.core.Tracer) and is_vector:
            return None
        members = list(np.asarray(value)) if is_vector else value
        if not (isinstance(members, (list, tuple)) and all(map(is_number, members))):
            return f'a sequence of {words}'
        known = [number for number in map(concrete, members) if number is not None]
        fit = not any(violation(number, self.element) for number in known)
        return None if fit and known == sorted(known) else words


AscendingFractions = Annotated[Sequence[OpenFraction], Elements(OpenFraction)]
Bounds = Annotated[tuple[Number, Number], Ascending()]
Dtype = jax.typing.DTypeLike  # a floating one
