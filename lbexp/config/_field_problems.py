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
    known = [name for name in fields.BY_NAME if '.' not in name]
    problems = [_missing(name) for name in required if name not in values]
    problems += [_unknown(name, known) for name in sorted(set(values) - set(known))]
    for field in fields.FIELDS:
        problems += _problems_of_field(field, values)
    for group in fields.GROUPS:
        problems += _unknown_in_group(group, values.get(group))
    return problems


def _problems_of_field(field, values) -> Iterator[str]:
    group, _, name = field.name.rpartition('.')
    holder = values.get(group, {}) if group else values
    if not isinstance(holder, dict):
        return  # told of the dict itself
    if name in holder:
        yield from _problems_of_value(field, holder[name])
    elif field.default is not fields.ABSENT and group in values:
        yield _missing(field.name)


def _problems_of_value(field, value) -> Iterator[str]:
    if not isinstance(field.annotation, fields.Part):
        problem = violation(value, field.annotation)
        if problem:
            yield f'{field.name}: {problem}'
    elif field.annotation.several:
        if not isinstance(value, list):
            yield f"{field.name}: found {value!r}; allowed: a tuple of dicts, each with a 'name'"
    elif not isinstance(value, dict) or not (
        field.annotation.optional or isinstance(value.get('name'), str)
    ):
        yield f"{field.name}: found {value!r}; allowed: a dict with a 'name'"


def _unknown_in_group(group, holder) -> list[str]:
    if not isinstance(holder, dict):
        return []
    known = fields.inner(group)
    return [_unknown(f'{group}.{name}', known) for name in sorted(holder.keys() - set(known))]


def _missing(name):
    return f'{name}: not there; allowed: every field of lbexp.config.base()'


def _unknown(name, known):
    if name in fields.RENAMED:
        return f'{name}: no such field: it is called {fields.RENAMED[name]}, as it is a count'
    hint = lookup.nearest(name.split('.')[-1], known)
    return f'{name}: no such field.{hint} Fields here: {", ".join(sorted(known))}'
