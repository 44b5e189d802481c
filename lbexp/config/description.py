"""The table of fields in words, as the command line's --help has it, and parts with their
arguments."""

import importlib
import inspect
from collections.abc import Callable
from typing import NamedTuple

from lbexp.config import fields, lookup
from lbexp.config._parameter import of_parameter
from lbexp.config.violation import in_words
from lbexp.docstrings import arguments, first_sentence, papers


class Entry(NamedTuple):
    """A field of the configuration, or an argument of a part, in words.

    Attributes:
        default: as Python writes it; None where there is none.
        allowed: type, range and unit: 'an integer in [1, 2^31 - 1] or None [examples]'.
        meaning: what it does; '' where nothing says so.
    """

    name: str
    default: str | None
    allowed: str
    meaning: str


class Description(NamedTuple):
    """A part in words.

    Attributes:
        sentence: what it is, in a line.
        text: its docstring up to the arguments, which may begin with the same sentence.
        papers: those that it names: 'You et al. 2020, arXiv:1904.00962v5'.
    """

    sentence: str
    text: str
    arguments: list[Entry]
    papers: list[str]


def field_entries() -> list[Entry]:
    """The table of fields."""
    entries = []
    for field in fields.FIELDS:
        default = None
        # The default of a dict are those of its fields.
        if field.default is not fields.ABSENT and field.annotation is not dict:
            default = repr(field.default)
        allowed = _allowed(field.annotation)
        if field.unit:
            allowed += f' [{field.unit}]'
        entries.append(Entry(field.name, default, allowed, field.help))
    return entries


def described() -> str:
    """The table in lines of text: each field with its default, type, unit and meaning."""
    lines = []
    for entry in field_entries():
        default = '' if entry.default is None else f'={entry.default}'
        lines += [f'  --config.{entry.name}{default}', f'      {entry.allowed}; {entry.meaning}']
    return '\n'.join(lines)


def described_part(kind: str, name: str) -> Description:
    """A part with the arguments that a configuration may give, without what the engine gives.

    Args:
        kind: of `lookup.KINDS`.
        name: of a file of the kind's package, or 'package.module:function'.

    Raises:
        Refusal: there is no such part.
    """
    function = lookup.find(kind, name)
    file_text = getattr(inspect.getmodule(function), '__doc__', None) or ''
    text = function.__doc__ or ''
    meanings = {**arguments(file_text), **arguments(text)}
    parameters = lookup.parameters(function)
    for argument in lookup.KINDS[kind].given:  # by the engine: nobody's to set
        parameters.pop(argument, None)
    entries = []
    for argument, parameter in parameters.items():
        default = None if parameter.default is parameter.empty else repr(parameter.default)
        words = in_words(of_parameter(parameter))
        entries.append(Entry(argument, default, words, meanings.get(argument, '')))
    body = inspect.cleandoc(text).partition('\nArgs:')[0].rstrip()
    return Description(part_sentence(function), body, entries, papers(f'{file_text} {text}'))


def part_sentence(function: Callable) -> str:
    """What a part is: the first sentence of its file, or of its function where the file is named
    otherwise."""
    module = importlib.import_module(function.__module__)
    is_file = module.__name__.rpartition('.')[2] == function.__name__
    return first_sentence(module.__doc__ if is_file else function.__doc__)


def _allowed(annotation):
    if not isinstance(annotation, fields.Part):
        return in_words(annotation)
    if annotation.several:
        return "parts, each a dict with a 'name'"
    return "a part: a dict with a 'name'"
