"""Values of a configuration against annotations: those of the fields, and those of the functions
that parts name.

msgspec decides what fits a type; this file says which types a configuration can hold, and what is
allowed in words.
"""

import collections.abc
import difflib
import functools
import inspect
import math
import operator
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from lbexp.annotations import limits, members, range_in_words, variants

_WORDS = {
    int: 'an integer',
    float: 'a number',
    str: 'text',
    bool: 'True or False',
    dict: 'a dict',
    list: 'a list',
    types.NoneType: 'None',
}
_POWERS = {2**31 - 1: '2^31 - 1', 2**32 - 1: '2^32 - 1'}
_SEQUENCES = (
    list,
    tuple,
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
)
_MAPPINGS = (dict, collections.abc.Mapping)


class _Alternative(NamedTuple):
    """One of the types of a union."""

    annotation: Any
    fits: Callable[[Any], bool]


def violation(value: Any, annotation: Any) -> str | None:
    """How `value`, plain data, breaks `annotation`, in words; None: it does not.

    Read are bool, int, float, str, None, sequences, mappings, Literal, bounds of annotated_types,
    unions of these, dtypes (by their names), and parts (a dict with a 'name' where a class is
    wanted). An annotation that says nothing of these (Any, a type variable) allows everything but
    NaN; one of functions alone allows nothing.
    """
    if all(map(_is_function, members(annotation))):
        return (
            f'found {value!r}; allowed: a function, which no configuration holds: another '
            'part, or one of your own'
        )
    alternatives = _alternatives(annotation)
    fits = not alternatives or any(alternative.fits(value) for alternative in alternatives)
    if fits and not _has_nan(value):
        return None
    words = [in_words(alternative.annotation) for alternative in alternatives]
    *others, last = dict.fromkeys(words or ['a number'])
    allowed = ' or '.join(filter(None, [', '.join(others), last]))
    return f'found {value!r}; allowed: {allowed}{_hint(value, annotation)}'


def part_class(annotation: Any) -> type | None:
    """The class of the part that `annotation` asks for, such as optax.GradientTransformation; None:
    for none."""
    for member in members(annotation):
        if inspect.isclass(member) and issubclass(member, tuple) and hasattr(member, '_fields'):
            return member
    return None


def takes_part(annotation: Any) -> bool:
    """Whether a part, a dict with a 'name', may stand where `annotation` is: it asks for one, or
    says nothing."""
    return part_class(annotation) is not None or not _alternatives(annotation)


def _alternatives(annotation) -> tuple[_Alternative, ...]:
    """What `annotation` allows; empty: everything."""
    try:
        return _cached_alternatives(annotation)
    except TypeError:  # not hashable
        return _cached_alternatives.__wrapped__(annotation)


@functools.cache
def _cached_alternatives(annotation):
    kinds = members(annotation)
    dtypes = list(filter(_is_dtype, kinds))
    if dtypes:  # DTypeLike and its kin also name str and type
        alternatives = [_Alternative(dtypes[0], _names_a_dtype)]
        if types.NoneType in kinds:
            alternatives.append(_Alternative(None, functools.partial(operator.is_, None)))
        return tuple(alternatives)
    alternatives = []
    for member in kinds:
        readable = _readable(member)
        if readable is Any:
            return ()
        if readable is not None:
            alternatives.append(_Alternative(member, functools.partial(_converts, readable)))
    return tuple(alternatives)


def _readable(member) -> Any:
    """`member` as msgspec reads it; Any: everything goes; None: nothing that a configuration could
    hold."""
    origin, arguments = get_origin(member), get_args(member)
    if origin is Annotated:
        inner = _readable(arguments[0])
        limits = _limits(member)
        if inner in (int, float) and limits:
            return Annotated[inner, msgspec.Meta(**limits)]
        return inner
    if origin is Literal or member in _WORDS:
        return member
    if member is Any or isinstance(member, (typing.TypeVar, str)):
        return Any
    if part_class(member):
        return _PartOf
    if (origin or member) in _MAPPINGS:
        return dict
    if (origin or member) in _SEQUENCES:
        return _sequence(origin or member, arguments)
    return None  # a function, an array, a class of somebody's: no plain data


def _sequence(origin, arguments):
    if origin is tuple and arguments and Ellipsis not in arguments:
        # Types made of values, which a checker of types cannot read.
        return tuple.__class_getitem__(tuple(map(_readable_union, arguments)))
    if not arguments:
        return list
    return list.__class_getitem__(_readable_union(arguments[0]))


def _readable_union(annotation):
    readable = [_readable(member) for member in members(annotation)]
    held = [kind for kind in readable if kind is not None]
    if Any in held or not held:
        return Any
    return functools.reduce(operator.or_, held)


class _PartOf(msgspec.Struct):
    """A part: a dict with a name; its arguments are checked where the function is known."""

    name: str


def _converts(readable, value):
    # Infinity is no setting, but may be a bound inside a list.
    if isinstance(value, float) and math.isinf(value):
        return False
    try:
        msgspec.convert(value, readable)
    except msgspec.ValidationError:
        return False
    except TypeError:  # a union that msgspec does not take: everything goes
        return True
    return True


def _limits(member):
    return limits(get_args(member)[1:])


def _range_in_words(member):
    """'>= 0', 'in [0, 1)', with powers of two by their names."""
    ends = _limits(member)
    for name, limit in ends.items():
        ends[name] = _POWERS.get(limit, limit)
    return range_in_words(ends)


def in_words(annotation: Any) -> str:
    """What `annotation` allows: 'an integer >= 1 or None'."""
    words = []
    for member in members(annotation):
        if _is_dtype(member) or _readable(member) is not None:
            words.append(_member_in_words(member))
    return ' or '.join(dict.fromkeys(words)) or 'anything'


def _member_in_words(member):
    origin, arguments = get_origin(member), get_args(member)
    if origin is Annotated and _limits(member):
        return f'{_member_in_words(arguments[0])} {_range_in_words(member)}'
    if origin is Annotated:
        return _member_in_words(arguments[0])
    if origin is Literal:
        return ', '.join(map(repr, arguments))
    if _is_dtype(member):
        return "the name of a dtype, such as 'bfloat16'"
    if part_class(member):
        return "a dict with a 'name'"
    if (origin or member) in _MAPPINGS:
        return 'a dict'
    if (origin or member) in _SEQUENCES:
        return _sequence_in_words(origin, arguments)
    return _WORDS.get(member, 'anything')


def _sequence_in_words(origin, arguments):
    # tuple[float, float] has a type for each place; tuple[float, ...] is a list.
    if origin is tuple and arguments and Ellipsis not in arguments:
        return f'({", ".join(map(in_words, arguments))})'
    if not arguments:
        return 'a list'
    return f'a list, each {in_words(arguments[0])}'


def _hint(value, annotation):
    if not isinstance(value, str):
        return ''
    close = difflib.get_close_matches(value, map(str, variants(annotation)), 1)
    if not close:
        return ''
    return f'. Did you mean {close[0]!r}?'


def _is_function(member):
    is_protocol = getattr(member, '_is_protocol', False) and '__call__' in vars(member)
    return is_protocol or collections.abc.Callable in (member, get_origin(member))


def _is_dtype(member):
    # by its name: NumPy is not imported for a configuration alone
    kind = get_origin(member) or member
    # a generic alias, numpy.dtype[...], and the class alike
    return getattr(kind, '__module__', '') == 'numpy' and getattr(kind, '__name__', '') == 'dtype'


def _names_a_dtype(value):
    import jax

    try:
        return isinstance(value, str) and jax.numpy.issubdtype(
            jax.numpy.dtype(value), jax.numpy.floating
        )
    except TypeError:
        return False


def _has_nan(value):
    if isinstance(value, dict):
        return any(map(_has_nan, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_has_nan, value))
    return isinstance(value, float) and math.isnan(value)
