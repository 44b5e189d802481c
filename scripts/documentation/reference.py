"""Pages of the reference: parts, fields and commands, from what `python -m lbexp.list` prints."""

import ast
import importlib
import inspect
import pathlib

import lbexp
from documentation import interface
from documentation.markdown import block, cell, code, prose, table
from lbexp import config
from lbexp import list as listing
from lbexp.config import lookup
from lbexp.config.description import Entry, described_part, field_entries
from lbexp.docstrings import first_sentence

_TITLES = {
    'workloads': 'Tasks and workloads',
    'data': 'Data sets',
    'models': 'Models',
    'optimizers': 'Optimizers',
    'schedules': 'Schedules',
    'example_weights': 'Example weights',
    'probes': 'Probes',
    'replicas': 'Ways of several workers',
    'studies': 'Studies',
    'executors': 'Schedulers of processes',
}
# What a part of this kind returns, and what belongs to it.
_CONTRACTS = {
    'workloads': (
        'lbexp.workloads:Workload',
        'lbexp.workloads:SetMetrics',
        'lbexp.workloads:Ratio',
    ),
    'data': ('lbexp.datasets:Dataset', 'lbexp.inputs:Input', 'lbexp.inputs:Target'),
    'models': ('lbexp.models:Model', 'lbexp.models:Network'),
    'probes': ('lbexp.probes:Probe', 'lbexp.probes:EvaluationProbe'),
    'replicas': ('lbexp.parallel.replicas:Replicas',),
    'studies': ('lbexp.studies:Study', 'lbexp.studies:Trial', 'lbexp.analysis:Analysis'),
    'executors': ('lbexp.sweep.executors:Executor',),
}
_INTERNAL = ('lbexp.sweep.worker',)  # commands that commands start


def pages() -> dict[str, str]:
    """{file of the reference: Markdown}, without the text that docs/reference has for it."""
    made = {f'{kind}.md': parts(kind) for kind in _TITLES}
    made['experiments.md'] = experiments()
    made['fields.md'] = fields()
    made['commands.md'] = commands()
    return made


def parts(kind: str) -> str:
    """Every part of a kind: what it is, its arguments and papers; then how one of yours is made."""
    lines = [f'# {_TITLES[kind]}', '']
    package = lookup.KINDS[listing.PARTS[kind]].package
    names = listing.names(kind)
    rows = []
    for name in names:
        description = described_part(listing.PARTS[kind], name)
        rows.append([f'[`{name}`](#{name})', cell(description.sentence)])
    lines += [table(['name', 'is'], rows), '']
    for name in names:
        lines += [f'## `{name}` {{ #{name} }}', '', part(kind, name), '']
    text = inspect.getdoc(importlib.import_module(package))
    lines += ['## Your own { #your-own }', '', prose(text)]
    for place in _CONTRACTS.get(kind, ()):
        lines += ['', interface.described(place, level=3)]
    return '\n'.join(lines) + '\n'


def part(kind: str, name: str) -> str:
    """What a part is, its arguments, and the papers that it names."""
    description = described_part(listing.PARTS[kind], name)
    lines = []
    text = ' '.join(description.text.split())
    if not text.startswith(description.sentence):
        lines += [f'{cell(description.sentence)}.', '']
    lines += [prose(description.text), '']
    if description.arguments:
        lines += [arguments(description.arguments), '']
    if description.papers:
        lines.append(f'Papers: {cell("; ".join(description.papers))}.')
    return '\n'.join(lines).rstrip()


def arguments(entries: list[Entry], name: str = 'argument') -> str:
    """A table of arguments or fields."""
    rows = []
    for entry in entries:
        default = '' if entry.default is None else code(entry.default)
        rows.append([code(entry.name), default, cell(entry.allowed), cell(entry.meaning)])
    return table([name, 'default', 'allowed', 'meaning'], rows)


def fields() -> str:
    """The table of fields of a configuration."""
    return f'# Fields of the configuration\n\n{arguments(field_entries(), "field")}\n'


def experiments() -> str:
    """The experiment files with what each claims."""
    files = config.experiment_files()
    rows = []
    for name in files:
        sentence = first_sentence(config.docstring(name))
        rows.append([f'[`{name}`](#{name})', cell(sentence)])
    lines = ['# Experiments', '', table(['name', 'claims or asks'], rows), '']
    for name, file in files.items():
        source = file.read_text()
        text = ast.get_docstring(ast.parse(source))
        body = source[source.index('from lbexp import config') :]
        lines += [f'## `{name}` {{ #{name} }}', '', prose(text), '', block(body, 'python'), '']
    return '\n'.join(lines)


def commands() -> str:
    """The commands with what each says of itself."""
    lines = ['# Commands', '']
    for name in command_names():
        module = importlib.import_module(name)
        text = module.__doc__
        if name.endswith('.__main__') and '    python -m' not in text:
            text = importlib.import_module(name.removesuffix('.__main__')).__doc__
        name = name.removesuffix('.__main__')
        place = name.replace('.', '-')
        lines += [f'## `python -m {name}` {{ #{place} }}', '', prose(inspect.cleandoc(text)), '']
    return '\n'.join(lines)


def command_names() -> list[str]:
    """Modules of the package that are commands, `lbexp.main` first."""
    root = pathlib.Path(lbexp.__file__).parent
    names = []
    for file in sorted(root.rglob('*.py')):
        name = '.'.join(['lbexp', *file.relative_to(root).with_suffix('').parts])
        if name not in _INTERNAL and _is_command(ast.parse(file.read_text())):
            names.append(name)
    return sorted(names, key=lambda name: name != 'lbexp.main')


def _is_command(tree):
    for node in tree.body:
        if isinstance(node, ast.If) and "__name__ == '__main__'" in ast.unparse(node.test):
            return True
    return False
