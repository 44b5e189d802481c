"""Whether a value is what an annotation allows, and in which words it is told that it is not."""

import collections.abc
import difflib
import fractions
import functools
import inspect
import numbers
import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np

# What reads annotations takes finite bounds alone: the largest float stands for "below infinity".
FINITE = sys.float_info.max
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
    closing = 'inf)' if limits.get('le') == FINITE else closing
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
        return is_number(value)
    if kind is jax.Array:
        return isinstance(value, jax.Array)
    if kind in _INTEGERS:
        is_whole = concrete(value) is None or isinstance(concrete(value), int)
        return is_number(value) and is_whole
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


def is_number(value):
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
