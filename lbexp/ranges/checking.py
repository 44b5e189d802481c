"""Whether a value is what an annotation allows, and in which words it is told that it is not."""

import collections.abc
import difflib
import fractions
import functools
import inspect
import math
import numbers
import operator
import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.annotations import limits, members, range_in_words, variants
from lbexp.wording import with_article

# What reads annotations takes finite bounds alone: the largest float stands for "below infinity".
FINITE = sys.float_info.max
_COMPARE = {'gt': operator.gt, 'ge': operator.ge, 'lt': operator.lt, 'le': operator.le}
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

    @functools.cache
    def hints():
        # At the first call: a module may name what it defines further down.
        hints = typing.get_type_hints(function, include_extras=True)
        checked = {}
        for name, parameter in signature.parameters.items():
            is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if name in hints and not is_variadic:
                checked[name] = hints[name]
        return checked

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            arguments = signature.bind(*args, **kwargs).arguments
        except TypeError:
            arguments = {}  # the function itself says it better
        for name, annotation in hints().items():
            if name not in arguments:
                continue
            problem = violation(arguments[name], annotation)
            if problem:
                raise ValueError(f'{name}: {problem}')
        return function(*args, **kwargs)

    return call


def violation(value: Any, annotation: Any) -> str | None:
    """How `value` breaks `annotation`, in words; None: it does not."""
    kinds = members(annotation)
    if any((get_origin(kind) or kind) is np.dtype for kind in kinds):
        problems = _dtype_problems(value, kinds)
    else:
        problems = [_problem(value, kind) for kind in kinds]
    if None in problems:
        return None
    allowed = list(dict.fromkeys(filter(None, problems)))
    # That an array is allowed too helps nobody who gave something else; unless nothing else is.
    telling = [words for words in allowed if not words.startswith('an array')]
    allowed = ', '.join(telling or allowed)
    return f'found {_shown(value)}; allowed: {allowed}{_hint(value, annotation)}'


def _hint(value, annotation):
    """The variant that a text was perhaps meant to be."""
    if not isinstance(value, str):
        return ''
    texts = [variant for variant in variants(annotation) if isinstance(variant, str)]
    close = difflib.get_close_matches(value, texts, 1)
    if not close:
        return ''
    return f'. Did you mean {close[0]!r}?'


def in_words(annotation: Any) -> str:
    """The range that `annotation` names: '>= 0', 'in [0, 1)'; '' where it names none."""
    ends = {}
    for kind in members(annotation):
        ends |= limits(getattr(kind, '__metadata__', ()))
    if ends.get('le') == FINITE:
        del ends['le']
        ends['lt'] = math.inf
    return range_in_words(ends)


def concrete(value: Any) -> float | fractions.Fraction | None:
    """A number whose value is known here and now, as a Python number; None: anything else, traced
    arrays among it."""
    if isinstance(value, bool) or is_hidden(value):
        return None
    if isinstance(value, (int, float, fractions.Fraction)):
        return value
    if not isinstance(value, (np.number, np.ndarray, jax.Array)) or np.ndim(value) != 0:
        return None
    if jnp.issubdtype(value.dtype, jnp.integer):
        return int(value)
    if jnp.issubdtype(value.dtype, jnp.floating):
        return float(value)
    return None


def is_hidden(value: Any) -> bool:
    """Whether it is an array whose values are not here: traced, donated, or with other
    processes."""
    if isinstance(value, jax.core.Tracer):
        return True
    return isinstance(value, jax.Array) and (value.is_deleted() or not value.is_fully_addressable)


def _dtype_problems(value, kinds):
    """DTypeLike names texts and types too: what counts is whether the value names a floating
    dtype."""
    if value is None and types.NoneType in kinds:
        return [None]
    try:
        # None would be NumPy's float64
        fits = value is not None and jnp.issubdtype(jnp.dtype(value), jnp.inexact)
    except TypeError:
        fits = False
    if fits:
        return [None]
    problems = ["a floating dtype such as 'bfloat16', 'float32'"]
    if types.NoneType in kinds:
        problems.append(_kind_in_words(types.NoneType))
    return problems


def _problem(value, member):
    """What `member`, one type of a union, allows, in words, if that is not `value`; None if it
    is."""
    kind, metadata = member, ()
    if get_origin(member) is Annotated:
        kind, *metadata = get_args(member)
    for rule in metadata:
        if hasattr(rule, 'violation') and (problem := rule.violation(value)):
            return problem
    if _is_kind(value, kind) and _is_within(value, metadata):
        return None
    return f'{_kind_in_words(kind)} {in_words(member)}'.rstrip()


def _is_within(value, metadata):
    """Whether a value is within its bounds, as far as it is a number that is known."""
    number = concrete(value)
    if number is None:
        return True
    # NaN is in no range, though not below a bound either.
    if metadata and number != number:
        return False
    for bound in metadata:
        for name, limit in limits([bound]).items():
            if not _COMPARE[name](number, limit):
                return False
    return True


def _is_kind(value, kind):
    if kind in _NUMBERS:
        return is_number(value)
    if kind is jax.Array:
        return isinstance(value, jax.Array)
    if kind in _INTEGERS:
        # what is traced may be whole
        return is_number(value) and isinstance(concrete(value), int | None)
    if kind is bool:
        return isinstance(value, (bool, np.bool_))
    if kind in (str, types.NoneType):
        return isinstance(value, kind)
    if get_origin(kind) is Literal:
        # By type as well: True == 1.
        return any(type(value) is type(variant) and value == variant for variant in get_args(kind))
    if collections.abc.Callable in (kind, get_origin(kind)):
        return callable(value)
    if hasattr(kind, '_fields'):
        return all(hasattr(value, field) for field in kind._fields)
    return True


def is_number(value: Any) -> bool:
    """Whether one can calculate with it; what is traced is one for all that is known."""
    is_plain = isinstance(value, numbers.Number) and not isinstance(value, bool)
    return is_plain or (hasattr(value, 'dtype') and not isinstance(value, np.bool_))


def _kind_in_words(kind):
    if get_origin(kind) is Literal:
        return ', '.join(map(repr, get_args(kind)))
    if collections.abc.Callable in (kind, get_origin(kind)):
        return 'a function'
    name = getattr(kind, '__name__', str(kind))
    return _WORDS.get(kind, with_article(name))


def _shown(value):
    if isinstance(value, np.generic):
        # 2.0, not np.float32(2.0)
        value = value.item()
    try:
        text = repr(value)
    except RuntimeError:  # JAX reads values that were donated, there or deeper in
        text = 'a deleted array'
    if len(text) > 80:
        return f'{text[:77]}...'
    return text
