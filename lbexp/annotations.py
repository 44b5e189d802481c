"""Annotations taken apart: the types of a union, the bounds of a number, the variants of a text.

The ranges of arguments and the fields of a configuration are read by these functions. Nothing but
the standard library is imported: configurations are read without JAX.
"""

import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args, get_origin

# of annotated_types and of msgspec.Meta
COMPARISONS = {'gt': '>', 'ge': '>=', 'lt': '<', 'le': '<='}


def members(annotation: Any, metadata: tuple = ()) -> list[Any]:
    """The types of a union, each with the metadata that stand around it."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return members(inner, (*more, *metadata))
    if get_origin(annotation) in (typing.Union, types.UnionType):
        flat = []
        for inner in get_args(annotation):
            flat += members(inner, metadata)
        return flat
    if annotation is None:
        annotation = types.NoneType
    if metadata:
        annotation = Annotated[annotation, *metadata]
    return [annotation]


def limits(metadata: Iterable[Any]) -> dict[str, Any]:
    """The bounds among metadata: {'ge': 0, 'lt': 1}."""
    bounds = {}
    for bound in metadata:
        for name in COMPARISONS:
            limit = getattr(bound, name, None)
            if limit is not None:
                bounds[name] = limit
    return bounds


def range_in_words(limits: dict[str, Any]) -> str:
    """'>= 0', 'in [0, 1)'; '' without limits."""
    if not {'gt', 'ge'} & limits.keys() or not {'lt', 'le'} & limits.keys():
        return ' and '.join(f'{COMPARISONS[name]} {limit}' for name, limit in limits.items())
    opening = f'[{limits["ge"]}' if 'ge' in limits else f'({limits["gt"]}'
    closing = f'{limits["le"]}]' if 'le' in limits else f'{limits["lt"]})'
    return f'in {opening}, {closing}'


def variants(annotation: Any) -> list[Any]:
    """The values of the Literals of a union."""
    values = []
    for member in members(annotation):
        if get_origin(member) is Literal:
            values += get_args(member)
    return values
