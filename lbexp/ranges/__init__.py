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
from typing import Annotated, Any, Literal

import annotated_types
import jax
import numpy as np

from lbexp.ranges.checking import FINITE, concrete, in_words, is_hidden, is_number, violation
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
Draws = Trials | Literal['auto']  # 'auto': until claims are decided
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
        if self._fits(value):
            return None
        return self.words

    @staticmethod
    def _fits(value):
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            return False
        low, high = map(concrete, value)
        if low is None or high is None:
            # A limit that is traced may be any number.
            return all(map(is_number, value))
        return low <= high


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
        if isinstance(value, Mapping):
            # other mappings are trees of parameters, whose keys are names
            is_read = set(map(type, value.values())) <= {int}
        else:
            is_read = isinstance(value, Sequence)
        if not is_read:
            return []
        return [pattern for pattern in value if isinstance(pattern, str)]


class Elements:
    """Metadata of a sequence of numbers, each within a range, none smaller than the one before
    it."""

    def __init__(self, element: Any):
        self.element = element

    def violation(self, value: Any) -> str | None:
        words = f'numbers {in_words(self.element)}, ascending'
        if isinstance(value, (np.ndarray, jax.Array)) and value.ndim == 1:
            if is_hidden(value):
                return None
            value = list(np.asarray(value))
        if not (isinstance(value, (list, tuple)) and all(map(is_number, value))):
            return f'a sequence of {words}'
        # traced ones are not compared
        known = [number for number in map(concrete, value) if number is not None]
        has_misfit = any(violation(number, self.element) for number in known)
        if has_misfit or known != sorted(known):
            return words
        return None


AscendingFractions = Annotated[Sequence[OpenFraction], Elements(OpenFraction)]
Bounds = Annotated[tuple[Number, Number], Ascending()]
Dtype = jax.typing.DTypeLike  # a floating one
