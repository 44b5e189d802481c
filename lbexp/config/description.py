"""The table of fields in words, as the command line's --help has it, and arguments of parts."""

import inspect

from lbexp.config import fields
from lbexp.config._parameter import of_parameter
from lbexp.config.violation import in_words


def described() -> str:
    """The table in lines of text: each field with its default, type, unit and meaning."""
    lines = []
    for field in fields.FIELDS:
        flag = f'--config.{field.name}'
        # The default of a dict are those of its fields.
        if field.default is not fields.ABSENT and field.annotation is not dict:
            flag += f'={field.default!r}'
        allowed = _allowed(field.annotation)
        if field.unit:
            allowed += f' [{field.unit}]'
        lines += [f'  {flag}', f'      {allowed}; {field.help}']
    return '\n'.join(lines)


def parameter_in_words(parameter: inspect.Parameter) -> str:
    """What an argument of a part may be: 'a number >= 0 or None'."""
    return in_words(of_parameter(parameter))


def _allowed(annotation):
    if not isinstance(annotation, fields.Part):
        return in_words(annotation)
    if annotation.several:
        return "parts, each a dict with a 'name'"
    return "a part: a dict with a 'name'"
