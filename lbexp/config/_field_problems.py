"""The fields of a configuration against their table."""

from collections.abc import Collection, Iterator
from typing import Any

from lbexp.config import fields, lookup
from lbexp.config.violation import violation


def field_problems(values: dict[str, Any], required: Collection[str]) -> list[str]:
    """Each field is there, is known, and has the type and range of the table.

    Args:
        values: a configuration, or that of one trial, as plain data.
        required: the names, without dots, that must be there.
    """
    problems = [_missing(name) for name in required if name not in values]
    for name in sorted(values.keys() - set(fields.TOP_LEVEL)):
        problems.append(_unknown(name, fields.TOP_LEVEL))
    for field in fields.FIELDS:
        problems += _problems_of_field(field, values)
    for group in fields.GROUPS:
        problems += _unknown_in_group(group, values.get(group))
    return problems


def _problems_of_field(field, values) -> Iterator[str]:
    group, _, name = field.name.rpartition('.')
    holder = values.get(group, {}) if group else values
    # Not told here: a dict that is no dict, and the fields of one that is not there at all.
    if not isinstance(holder, dict):
        return
    if name in holder:
        yield from _problems_of_value(field, holder[name])
    elif field.default is not fields.ABSENT and group in values:
        yield _missing(field.name)


def _problems_of_value(field, value) -> Iterator[str]:
    place = field.annotation
    if not isinstance(place, fields.Part):
        problem = violation(value, place)
        if problem:
            yield f'{field.name}: {problem}'
    elif place.several:
        if not isinstance(value, list):
            yield f"{field.name}: found {value!r}; allowed: a tuple of dicts, each with a 'name'"
    elif not _is_part(value, place.optional):
        yield f"{field.name}: found {value!r}; allowed: a dict with a 'name'"


def _is_part(value, optional):
    return isinstance(value, dict) and (optional or isinstance(value.get('name'), str))


def _unknown_in_group(group, holder) -> list[str]:
    if not isinstance(holder, dict):
        return []
    known = fields.inner(group)
    unknown = sorted(holder.keys() - set(known))
    return [_unknown(f'{group}.{name}', known) for name in unknown]


def _missing(name):
    return f'{name}: not there; allowed: every field of lbexp.config.base()'


def _unknown(name, known):
    if name in fields.RENAMED:
        return f'{name}: no such field: it is called {fields.RENAMED[name]}, as it is a count'
    hint = lookup.nearest(name.split('.')[-1], known)
    return f'{name}: no such field.{hint} Fields here: {", ".join(sorted(known))}'
