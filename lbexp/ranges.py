"""Ranges of numbers and names of variants: written once, as annotations, and checked when a function is called.

    @checked
    def sgd(learning_rate: NonNegative, form: Literal['outside', 'inside'] = 'outside'): ...

    sgd(-1)  # ValueError: learning_rate: found -1; allowed: a number >= 0

What cannot be seen is not looked at: traced arrays, schedules, arrays on devices other than a scalar.
"""

import difflib
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types
import jax
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

# Integers that may be traced.
Count = int | np.integer | jax.Array
NonNegativeCount = Annotated[Count, annotated_types.Ge(0)]
PositiveCount = Annotated[Count, annotated_types.Ge(1)]

# A number, or a function of the updates done (optax.Schedule).
NonNegativeSchedule = NonNegative | Callable[[Any], Any]

_COMPARISONS = {'gt': '>', 'ge': '>=', 'lt': '<', 'le': '<='}


def checked(function: Callable) -> Callable:
    """Lets `function` check its arguments against the ranges and variants that its annotations name.

    Read are `annotated_types` bounds inside `typing.Annotated`, and `typing.Literal`; unions are taken apart. The
    function keeps its name, docstring and signature.

    Raises:
        ValueError: when called, for a number outside its range or a text that names no variant.
    """

    @functools.cache
    def annotations():
        hints = typing.get_type_hints(function, include_extras=True)
        return {name: hint for name, hint in hints.items() if _constraints(hint)}

    signature = inspect.signature(function)

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
    """How `value` breaks the bounds or variants that `annotation` names, in words; None: it does not."""
    bounds, variants = [], ()
    for constraint in _constraints(annotation):
        if get_origin(constraint) is Literal:
            variants += get_args(constraint)
        else:
            bounds.append(constraint)
    if variants and isinstance(value, str) and value not in variants:
        close = difflib.get_close_matches(value, [v for v in variants if isinstance(v, str)], 1)
        hint = f'. Did you mean {close[0]!r}?' if close else ''
        return f'found {value!r}; allowed: {", ".join(map(repr, variants))}{hint}'
    number = concrete(value)
    if number is not None and not all(_fits(number, bound) for bound in bounds):
        return f'found {value!r}; allowed: a number {in_words(annotation)}'
    return None


def in_words(annotation: Any) -> str:
    """The range that `annotation` names: '>= 0', 'in [0, 1)'; '' where it names none."""
    limits = {}
    for constraint in _constraints(annotation):
        if get_origin(constraint) is not Literal:
            limits |= _limits(constraint)
    low, high = limits.keys() & {'gt', 'ge'}, limits.keys() & {'lt', 'le'}
    if not low or not high:
        return ' and '.join(f'{_COMPARISONS[kind]} {limit}' for kind, limit in limits.items())
    opening = f'[{limits["ge"]}' if 'ge' in limits else f'({limits["gt"]}'
    closing = f'{limits["le"]}]' if 'le' in limits else f'{limits["lt"]})'
    return f'in {opening}, {closing}'


def concrete(value: Any) -> float | None:
    """A number whose value is known now, as a Python number; None: anything else, traced arrays among it."""
    if isinstance(value, (bool, jax.core.Tracer)):
        return None
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, (np.number, np.ndarray, jax.Array)) and np.ndim(value) == 0:
        dtype = np.dtype(value.dtype) if not jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended) else None
        if dtype is not None and jax.numpy.issubdtype(dtype, np.number) and not np.iscomplexobj(value):
            return float(value)
    return None


def _constraints(annotation):
    """The bounds and Literals anywhere in a union; those of the elements of a sequence are not among them."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        bounds = [m for m in metadata if isinstance(m, annotated_types.BaseMetadata | annotated_types.GroupedMetadata)]
        return [*_constraints(inner), *(bound for bound in bounds if _limits(bound))]
    if get_origin(annotation) is Literal:
        return [annotation]
    if get_origin(annotation) in (typing.Union, type(int | str)):
        return [constraint for member in get_args(annotation) for constraint in _constraints(member)]
    return []


def _limits(bound):
    names = [name for name in _COMPARISONS if getattr(bound, name, None) is not None]
    return {name: getattr(bound, name) for name in names}


def _fits(number, bound):
    """NaN fits nowhere."""
    compare = {
        'gt': lambda limit: number > limit,
        'ge': lambda limit: number >= limit,
        'lt': lambda limit: number < limit,
        'le': lambda limit: number <= limit,
    }
    return all(compare[name](limit) for name, limit in _limits(bound).items())
