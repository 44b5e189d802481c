"""Ranges of numbers and names of variants: written once, as annotations, and checked when a
function is called.

    @checked
    def sgd(learning_rate: NonNegative, form: Literal['outside', 'inside'] = 'outside'): ...

    sgd(-1)  # ValueError: learning_rate: found -1; allowed: a number >= 0

What cannot be seen is not looked at: traced arrays, what a schedule will return, arrays other than
a scalar.
"""

import collections.abc
import difflib
import fractions
import functools
import inspect
import numbers
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
import jax
import jax.numpy as jnp
import numpy as np

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
# What reads annotations takes finite bounds alone: the largest float stands for "below infinity".
_FINITE = sys.float_info.max
FiniteNonNegative = Annotated[Number, annotated_types.Interval(ge=0, le=_FINITE)]
FinitePositive = Annotated[Number, annotated_types.Interval(gt=0, le=_FINITE)]
Seed = Annotated[int, annotated_types.Interval(ge=0, le=2**32 - 1)]

# Integers that may be traced.
Count = int | np.integer | jax.Array
NonNegativeCount = Annotated[Count, annotated_types.Ge(0)]
PositiveCount = Annotated[Count, annotated_types.Ge(1)]

# A number, or a function of the updates done (optax.Schedule).
NonNegativeSchedule = NonNegative | Callable[[Any], Any]

_COMPARISONS = {'gt': '>', 'ge': '>=', 'lt': '<', 'le': '<='}
_NUMBERS = (float, np.number)
_INTEGERS = (int, np.integer)
_WORDS = {
    **dict.fromkeys(_NUMBERS, 'a number'),
    **dict.fromkeys(_INTEGERS, 'an integer'),
    jax.Array: 'an array',
    str: 'text',
    bool: 'True, False',
    types.NoneType: 'None',
}


class Ascending:
    """Metadata of a pair of limits: low <= high."""

    words = '(low, high) with low <= high'

    def violation(self, value: Any) -> str | None:
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            return self.words
        low, high = map(concrete, value)
        if low is None or high is None:
            # A limit that is traced may be any number.
            return None if all(map(_is_number, value)) else self.words
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
        if not (isinstance(members, (list, tuple)) and all(map(_is_number, members))):
            return f'a sequence of {words}'
        known = [number for number in map(concrete, members) if number is not None]
        fit = not any(violation(number, self.element) for number in known)
        return None if fit and known == sorted(known) else words


AscendingFractions = Annotated[Sequence[OpenFraction], Elements(OpenFraction)]
Bounds = Annotated[tuple[Number, Number], Ascending()]
Dtype = jax.typing.DTypeLike  # a floating one


def checked(function: Callable) -> Callable:
    """Lets `function` check its arguments against the types, ranges and variants that its
    annotations name.

    Read are numbers, bool, str, None, `typing.Literal`, NamedTuples of functions such as
    optax.GradientTransformation, and inside `typing.Annotated` bounds of `annotated_types` and the
    metadata above; unions are taken apart. Any other annotation allows everything. The function
    keeps its name, docstring and signature.

    Raises:
        ValueError: when called, for a number outside its range, a text that names no variant, a
            wrong type.
    """

    signature = inspect.signature(function)
    many = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = {name for name, parameter in signature.parameters.items() if parameter.kind not in many}

    @functools.cache
    def annotations():
        hints = typing.get_type_hints(function, include_extras=True)
        return {name: hint for name, hint in hints.items() if name in names}

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            arguments = signature.bind(*args, **kwargs).arguments
        except TypeError:
            arguments = {}  # the function itself says it better
        for name, annotation in annotations().items():
            problem = violation(arguments[name], annotation) if name in arguments else None
            if problem:
                raise ValueError(f'{name}: {problem}')
        return function(*args, **kwargs)

    return call


def violation(value: Any, annotation: Any) -> str | None:
    """How `value` breaks `annotation`, in words; None: it does not."""
    members = _members(annotation)
    is_dtype = any((get_origin(member) or member) is np.dtype for member in members)
    if is_dtype:
        problems = _dtype_problems(value, members)
    else:
        problems = [_problem(value, member) for member in members]
    reasons = [problem for problem in problems if problem]
    if len(reasons) < len(problems):
        return None
    variants = [v for member in members for v in get_args(member) if get_origin(member) is Literal]
    texts = [variant for variant in variants if isinstance(variant, str)]
    close = difflib.get_close_matches(value, texts, 1) if isinstance(value, str) else []
    hint = f'. Did you mean {close[0]!r}?' if close else ''
    # That an array is allowed too helps nobody who gave something else; unless nothing else is.
    allowed = [words for words in dict.fromkeys(reasons) if not words.startswith('an array')]
    return f'found {_shown(value)}; allowed: {", ".join(allowed or reasons)}{hint}'


def in_words(annotation: Any) -> str:
    """The range that `annotation` names: '>= 0', 'in [0, 1)'; '' where it names none."""
    limits = {}
    for member in _members(annotation):
        for bound in getattr(member, '__metadata__', ()):
            limits |= _limits(bound)
    low, high = limits.keys() & {'gt', 'ge'}, limits.keys() & {'lt', 'le'}
    if not low or not high:
        return ' and '.join(f'{_COMPARISONS[kind]} {limit}' for kind, limit in limits.items())
    opening = f'[{limits["ge"]}' if 'ge' in limits else f'({limits["gt"]}'
    closing = f'{limits["le"]}]' if 'le' in limits else f'{limits["lt"]})'
    closing = 'inf)' if limits.get('le') == _FINITE else closing
    return f'in {opening}, {closing}'


def concrete(value: Any) -> float | fractions.Fraction | None:
    """A number whose value is known here and now, as a Python number; None: anything else, traced
    arrays among it."""
    if isinstance(value, (bool, jax.core.Tracer)):
        return None
    if isinstance(value, (int, float, fractions.Fraction)):
        return value
    if not isinstance(value, (np.number, np.ndarray, jax.Array)) or np.ndim(value) != 0:
        return None
    if isinstance(value, jax.Array) and (value.is_deleted() or not value.is_fully_addressable):
        return None
    if jnp.issubdtype(value.dtype, jnp.integer):
        return int(value)
    return float(value) if jnp.issubdtype(value.dtype, jnp.floating) else None


def _members(annotation, metadata=()):
    """The types of a union, each with the metadata that stand around it."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return _members(inner, (*more, *metadata))
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return [member for inner in get_args(annotation) for member in _members(inner, metadata)]
    annotation = types.NoneType if annotation is None else annotation
    return [Annotated[annotation, *metadata] if metadata else annotation]


def _dtype_problems(value, members):
    """DTypeLike names texts and types too: what counts is whether the value names a floating
    dtype."""
    try:
        fits = value is not None and jnp.issubdtype(jnp.dtype(value), jnp.inexact)
    except TypeError:
        fits = False
    if fits:
        return [None]
    others = [_problem(value, member) for member in members if member is types.NoneType]
    return ["a floating dtype such as 'bfloat16', 'float32'", *others]


def _problem(value, member):
    """What `member`, one type of a union, allows, in words, if that is not `value`; None if it
    is."""
    kind, *metadata = get_args(member) if get_origin(member) is Annotated else (member,)
    rules = [rule.violation(value) for rule in metadata if hasattr(rule, 'violation')]
    if any(rules):
        return next(filter(None, rules))
    number, bounds = concrete(value), [_limits(bound) for bound in metadata]
    if _is_kind(value, kind) and (number is None or all(_fits(number, bound) for bound in bounds)):
        return None
    return f'{_kind_in_words(kind)} {in_words(member)}'.rstrip()


def _is_kind(value, kind):
    if kind in _NUMBERS:
        return _is_number(value)
    if kind is jax.Array:
        return isinstance(value, jax.Array)
    if kind in _INTEGERS:
        is_whole = concrete(value) is None or isinstance(concrete(value), int)
        return _is_number(value) and is_whole
    if kind is bool:
        return isinstance(value, (bool, np.bool_))
    if kind in (str, types.NoneType):
        return isinstance(value, kind)
    if get_origin(kind) is Literal:
        return any(type(value) is type(variant) and value == variant for variant in get_args(kind))
    if collections.abc.Callable in (kind, get_origin(kind)):
        return callable(value)
    if hasattr(kind, '_fields'):
        return all(hasattr(value, field) for field in kind._fields)
    return True


def _is_number(value):
    """Whether one can calculate with it; what is traced is one for all that is known."""
    is_plain = isinstance(value, numbers.Number) and not isinstance(value, bool)
    return is_plain or (hasattr(value, 'dtype') and not isinstance(value, np.bool_))


def _kind_in_words(kind):
    if get_origin(kind) is Literal:
        return ', '.join(map(repr, get_args(kind)))
    if collections.abc.Callable in (kind, get_origin(kind)):
        return 'a function'
    name = getattr(kind, '__name__', str(kind))
    return _WORDS.get(kind, f'a {name}')


def _shown(value):
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 80 else f'{text[:77]}...'


def _limits(bound):
    names = [name for name in _COMPARISONS if getattr(bound, name, None) is not None]
    return {name: getattr(bound, name) for name in names}


def _fits(number, limits):
    """NaN fits nowhere."""
    compare = {
        'gt': lambda limit: number > limit,
        'ge': lambda limit: number >= limit,
        'lt': lambda limit: number < limit,
        'le': lambda limit: number <= limit,
    }
    return number == number and all(compare[name](limit) for name, limit in limits.items())
