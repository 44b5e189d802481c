"""Pages of the Python interface: signatures as they are written, docstrings in sections."""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap

from documentation.markdown import block, cell, code, prose, table
from lbexp.docstrings import meanings, sections

_QUOTED = re.compile(r"(: |-> )'([^']*)'")  # an annotation in quotes
_PYTHON = {
    'Runs': ('lbexp:run', 'lbexp.result:Result', 'lbexp.errors:RunFailed'),
    'Trained networks': ('lbexp:open', 'lbexp.trained:Run', 'lbexp.trained:Trial'),
    'Configurations': ('lbexp.config:base', 'lbexp.config:load', 'lbexp.config:override'),
    'Rows of workdirs': (
        'lbexp.results:read',
        'lbexp.results:final',
        'lbexp.results:per_example',
        'lbexp.results:workdirs',
    ),
    'Optimizers': (
        'lbexp.optimizers:evaluation_params',
        'lbexp.optimizers:slow_params',
        'lbexp.optimizers:diagnostics',
        'lbexp.optimizers:layers',
        'lbexp.optimizers:masks',
    ),
}


def pages() -> dict[str, str]:
    """{file of the reference: Markdown}."""
    return {
        'python.md': python(),
        'theory.md': package('lbexp.theory', 'Theory'),
        'curvature.md': package('lbexp.curvature', 'Curvature'),
    }


def python() -> str:
    """What scripts and notebooks call."""
    lines = ['# Python interface', '']
    for title, places in _PYTHON.items():
        lines += [f'## {title}', '']
        for place in places:
            lines += [described(place, level=3), '']
    return '\n'.join(lines)


def package(name: str, title: str) -> str:
    """The public functions and classes of each file of a package."""
    lines = [f'# {title}', '']
    for found in pkgutil.iter_modules(importlib.import_module(name).__path__):
        module = importlib.import_module(f'{name}.{found.name}')
        lines += [f'## `{module.__name__}` {{ #{found.name} }}', '']
        lines += [prose(inspect.getdoc(module)), '']
        for member in _members(module):
            lines += [described(f'{module.__name__}:{member}', level=3), '']
    return '\n'.join(lines)


def described(place: str, level: int) -> str:
    """A function, or a class with its public methods, under a heading of this level.

    Args:
        place: 'module:name'.
    """
    module, _, name = place.partition(':')
    item = getattr(importlib.import_module(module), name)
    lines = [f'{"#" * level} `{name}` {{ #{module}.{name} }}', '']
    if not inspect.isclass(item):
        return '\n'.join([*lines, _documented(item, _signature(item, module))])
    lines += [_documented(item, f'from {module} import {name}')]
    for member, value in vars(item).items():
        if member.startswith('_'):
            continue
        if isinstance(value, property):
            lines += ['', _documented(value, _property(value, name))]
        elif inspect.isfunction(value):
            lines += ['', _documented(value, _signature(value, name))]
    return '\n'.join(lines)


def _members(module):
    """Public functions and classes that the file defines, in its order."""
    for name, value in vars(module).items():
        is_code = inspect.isfunction(value) or inspect.isclass(value)
        if is_code and value.__module__ == module.__name__ and not name.startswith('_'):
            yield name


def _documented(item, signature):
    """The signature in a block, then the docstring, section by section."""
    parts = sections(inspect.getdoc(item))
    lines = [block(signature, 'python'), '', prose(parts.pop('')), '']
    for title, text in parts.items():
        entries = meanings(text)
        if title in ('Args', 'Attributes') and entries:
            rows = [[code(name), cell(meaning)] for name, meaning in entries.items()]
            lines += [table(['argument' if title == 'Args' else 'attribute', 'is'], rows), '']
        elif text:
            # Each line that is not indented begins an exception, or goes on in a sentence.
            lines += [f'{title}:', '', prose(_unfolded(text) if title == 'Raises' else text), '']
    return '\n'.join(lines).rstrip()


def _unfolded(text):
    """A bullet for each exception."""
    items = []
    for line in text.splitlines():
        if line.startswith(' '):
            items[-1] += f' {line.strip()}'
        else:
            items.append(f'* {line}')
    return '\n'.join(items)


def _signature(function, home):
    """'lbexp.run(config, ...) -> Result', as the source has it, behind the name of its home."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(function)))
    (node,) = ast.parse(source).body
    head = source.splitlines()[node.lineno - 1 : node.body[0].lineno - 1]
    text = '\n'.join(head).removeprefix('def ').rstrip(': \n')
    return f'{home}.' + _QUOTED.sub(r'\1\2', text)


def _property(item, home):
    """'Result.verdict -> str'."""
    return _signature(item.fget, home).replace('(self)', '')
