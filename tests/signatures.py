"""What lbexp says in its signatures of the shapes of arrays, found in the code."""

import ast
import collections.abc
import functools
import importlib
import inspect
import pathlib
from typing import NamedTuple, get_args, get_origin

import jaxtyping

_ROOT = pathlib.Path(__file__).parent.parent
_PYTREE = type(jaxtyping.PyTree[int])


class Signature(NamedTuple):
    """What is annotated: a function, a class of arrays, or a function that a contract asks for."""

    subject: object  # the function or class; of a contract nothing
    annotations: dict  # of each argument, and 'return'


def has_shape(annotation):
    """Whether an annotation says something of an array, but for those of functions."""
    if isinstance(annotation, _PYTREE):
        return True
    if isinstance(annotation, type) and not get_args(annotation):
        return issubclass(annotation, jaxtyping.AbstractArray)
    return not _is_function(annotation) and any(map(has_shape, get_args(annotation)))


def _is_function(annotation):
    return get_origin(annotation) is collections.abc.Callable


def _contracts(annotation):
    """The annotations of the functions in an annotation, where they say something of arrays."""
    if not _is_function(annotation):
        return [found for inner in get_args(annotation) for found in _contracts(inner)]
    parameters, result = get_args(annotation)
    named = {f'argument_{i}': parameter for i, parameter in enumerate(parameters)}
    named['return'] = result
    return [named] if any(map(has_shape, named.values())) else []


def _modules_with_shapes():
    for path in sorted((_ROOT / 'lbexp').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if _names_shapes(node):
                parts = path.relative_to(_ROOT).with_suffix('').parts
                yield importlib.import_module('.'.join(parts).removesuffix('.__init__'))


def _names_shapes(node):
    if not isinstance(node, ast.ImportFrom):
        return False
    return node.module == 'lbexp.shapes' or any(alias.name == 'shapes' for alias in node.names)


def _public_members(owner, module):
    for name, member in vars(owner).items():
        is_public = not name.startswith('_') or name == '__call__'
        if is_public and getattr(member, '__module__', '') == module.__name__:
            yield name, member


def _of_function(name, function):
    annotations = inspect.get_annotations(inspect.unwrap(function))
    if any(map(has_shape, annotations.values())):
        yield name, Signature(function, annotations)
    for i, contract in enumerate(_contracts(annotations.get('return'))):
        yield f'{name}[{i}]', Signature(None, contract)


def _of_class(name, cls, module):
    fields = vars(cls).get('__annotations__', {})
    if any(map(has_shape, fields.values())):
        yield name, Signature(cls, fields)
    for field, annotation in fields.items():
        for contract in _contracts(annotation):
            yield f'{name}.{field}', Signature(None, contract)
    for method, _ in _public_members(cls, module):
        function = getattr(cls, method)
        if callable(function) and not inspect.isclass(function):
            yield from _of_function(f'{name}.{method}', function)


@functools.cache
def signatures():
    """{'theory.linear_maps:product': Signature, ...} of all that is public and annotated."""
    found = {}
    for module in _modules_with_shapes():
        for name, member in _public_members(module, module):
            place = f'{module.__name__.removeprefix("lbexp.")}:{name}'
            if inspect.isclass(member):
                found.update(_of_class(place, member, module))
            elif callable(member):
                found.update(_of_function(place, member))
    return found
