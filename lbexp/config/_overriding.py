"""One field of a configuration: setting it to what a command line says, and the defaults of those
beside it in its dict."""

import ast
import contextlib
import copy
import inspect
from typing import Any

from ml_collections import ConfigDict, FrozenConfigDict, config_dict

from lbexp.config import fields, lookup
from lbexp.config._parameter import of_parameter
from lbexp.config._plain import plain
from lbexp.config.violation import violation
from lbexp.errors import Refusal

# What is no Python data and is written so all the same; 'none' is not among it, as a mask may be
# called so.
_CONSTANTS = {
    'true': True,
    'false': False,
    'inf': float('inf'),
    '-inf': float('-inf'),
    'nan': float('nan'),
}


def override(config: ConfigDict, path: str, text: str):
    """Sets the field `path` ('optimizer.weight_decay') to what `text` says, in place.

    `text` is read as Python data where that fits the field, else as text. An argument that the
    part's function takes may be set even where the experiment file does not write it.

    Raises:
        Refusal: no such field, or `text` is not of the field's type.
    """
    holder, name = field(config, path)
    annotation, default = _annotation(config, path)
    before = stored(holder, name) if name in holder else default
    if isinstance(before, ConfigDict) and not text.lstrip().startswith('{'):
        inner = sorted({*before, *_arguments(config, path.split('.'))})
        names = ', '.join(f'{path}.{name}' for name in inner or ['none that could be set here'])
        raise Refusal(f'{path}: found {text!r}; allowed: a value for one of its fields: {names}')
    _set(config, path, _parsed(path, text, annotation))


def assign(config: ConfigDict, path: str, value: Any):
    """Sets the field `path` to a value, in place: `override` for Python, where a text is a text.

    Raises:
        Refusal: no such field, or a value that is not of the field's type.
    """
    field(config, path)
    annotation, _ = _annotation(config, path)
    value = plain(value, path)
    if annotation is not None and (problem := violation(value, annotation)):
        raise Refusal(f'{path}: {problem}')
    _set(config, path, value)


def fill_in(config: ConfigDict | dict[str, Any]) -> None:
    """Sets, in place, what a dict such as `init_from` lacks: `c.init_from = dict(weights='runs/a')`
    is `c.init_from.weights = 'runs/a'`.

    Fields that are in no dict are left as they are, and so is a dict that is none: the check of
    the configuration says what is wrong with either.

    Args:
        config: a configuration, or that of one trial as plain data.
    """
    for field in fields.FIELDS:
        group, _, name = field.name.rpartition('.')
        if not group or field.default is fields.ABSENT:
            continue
        holder = stored(config, group)
        if isinstance(holder, ConfigDict) and name not in holder:
            with holder.unlocked():
                holder[name] = copy.copy(field.default)
        elif isinstance(holder, dict):
            holder.setdefault(name, _as_plain(field.default))


def stored(holder: ConfigDict | dict[str, Any], name: str) -> Any:
    """The value of a field; None: it is not there, or a required one that is not set."""
    try:
        return holder.get(name)
    except config_dict.RequiredValueError:
        return None


def _as_plain(default):
    """As plain data have it."""
    return list(default) if isinstance(default, tuple) else default


def _set(config, path, value):
    holder, name = field(config, path)
    _, default = _annotation(config, path)
    before = stored(holder, name) if name in holder else default
    # Who writes 1 for 0.1 means 1.0: an integer would be another type in the program.
    if isinstance(before, float) and type(value) is int:
        value = float(value)
    # neither can pass a required value that is not set yet
    with contextlib.ExitStack() as permissions:
        if config.is_locked:
            permissions.enter_context(config.unlocked())
        if holder.is_type_safe:
            permissions.enter_context(holder.ignore_type())
        holder[name] = value
        fill_in(config)  # it may be a dict with some of its fields


def field(config: ConfigDict, path: str) -> tuple[ConfigDict, str]:
    """The dict that holds the field `path`, and the field's name in it. Refusal: there is no such
    field."""
    if not isinstance(path, str) or not all(path.split('.')):
        raise Refusal(
            f"found {path!r}; allowed: the path of a field, such as 'optimizer.learning_rate'"
        )
    *parents, name = path.split('.')
    holder, so_far = config, []
    for parent in parents:
        inner = stored(holder, parent) if parent in holder else None
        if not isinstance(inner, ConfigDict):
            raise Refusal(_unknown(holder, [*so_far, parent]))
        holder, so_far = inner, [*so_far, parent]
    if name not in holder and name not in _arguments(config, so_far):
        raise Refusal(_unknown(holder, [*so_far, name], _arguments(config, so_far)))
    return holder, name


def _parsed(path, text, annotation):
    """What `text` says: Python data where that fits, else the text. Refusal: neither fits."""
    literal = _literal(text)
    if annotation is None:
        return literal
    problem = violation(literal, annotation)
    if not problem:
        return literal
    if violation(text, annotation):
        raise Refusal(f'{path}: {problem}')
    return text


def _annotation(config, path):
    """Annotation and default of the field `path`; the annotation is None where nothing is known of
    it."""
    if path in fields.BY_NAME:
        _, default, annotation, *_ = fields.BY_NAME[path]
        if isinstance(annotation, fields.Part):
            annotation = list if annotation.several else dict
        return annotation, default
    parent, _, name = path.rpartition('.')
    parameter = _arguments(config, parent.split('.')).get(name)
    if parameter is None:
        return None, None
    annotation = of_parameter(parameter)
    if lookup.inner_kind(parameter, '') in lookup.SHORT:  # a text may stand for it
        annotation = annotation | str
    return annotation, parameter.default


def _arguments(config, path):
    """Parameters that the dict at `path` could have, by name, as the table or its function's
    signature says."""
    if path and path[0] in fields.GROUPS:
        return {name: _named(name) for name in fields.inner(path[0])}
    if not path or path[0] not in fields.PARTS:
        return {}
    kind, holder = fields.PARTS[path[0]].kind, config[path[0]]
    # Each part on the way may hold one of another kind, as its function's annotation says.
    for name in path[1:]:
        if not isinstance(holder, (ConfigDict, FrozenConfigDict)):
            return {}
        known = _parameters(kind, holder)
        kind, holder = lookup.inner_kind(known.get(name), kind), holder.get(name)
    if not isinstance(holder, (ConfigDict, FrozenConfigDict)):
        return {}
    return _parameters(kind, holder)


def _parameters(kind, holder):
    if 'name' not in holder:  # such as example_weights, where the experiment file sets none
        return {'name': _named('name')}
    try:
        return lookup.parameters(lookup.find(kind, holder['name']))
    except Refusal:  # an unknown name is reported where the parts are checked
        return {}


def _named(name):
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)


def _literal(text) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    try:
        return plain(ast.literal_eval(text))
    # All that `ast.literal_eval` is documented to raise.
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text


def _unknown(holder, path, more=()):
    known = sorted({*holder, *more} - {'name'}) or ['name']
    where = '.'.join(path)
    if where in fields.RENAMED:
        return f'{where}: no such field: it is called {fields.RENAMED[where]}, as it is a count'
    hint = lookup.nearest(path[-1], known)
    return f'{where}: no such field.{hint} Fields here: {", ".join(known)}'
