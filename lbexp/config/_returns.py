"""What the return annotation of a function says of the part that it makes."""

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, get_args, get_origin


def returns(expected: Any, function: Callable) -> bool | None:
    """Whether the annotation says that `function` returns what is expected; None: it does not say.

    Args:
        expected: a class, or the type of a function, such as optax.Schedule.
    """
    annotation = return_annotation(function)
    if annotation == expected:
        return True
    # Nothing, anything, or a name that could not be evaluated.
    if annotation in (inspect.Signature.empty, Any):
        return None
    if isinstance(annotation, (str, typing.TypeVar)):
        return None
    if get_origin(annotation) in (typing.Union, types.UnionType):
        # What is returned may be any of them: it is refused only where none could be a part.
        verdicts = {_same(expected, member) for member in get_args(annotation)}
        return False if verdicts == {False} else None
    return _same(expected, annotation)


def _same(expected, annotation) -> bool | None:
    if annotation == expected:
        return True
    if not inspect.isclass(expected):  # a function of some arguments
        # A function of other arguments, or of any, may be one all the same.
        functions = (Callable, typing.Callable)
        if annotation in functions or get_origin(annotation) is collections.abc.Callable:
            return None
        return False
    # no issubclass of a protocol
    if not inspect.isclass(annotation) or getattr(annotation, '_is_protocol', False):
        return False
    if issubclass(annotation, expected):
        return True
    # A base class, such as object: what is returned may be of the class that is expected.
    if issubclass(expected, annotation):
        return None
    return False


def return_annotation(function: Callable) -> Any:
    """What `function` says that it returns, evaluated; a class returns itself."""
    if inspect.isclass(function):
        return function
    try:
        return inspect.signature(function, eval_str=True).return_annotation
    # builtins have no signature
    except (NameError, SyntaxError, AttributeError, TypeError, ValueError):
        return inspect.Signature.empty
