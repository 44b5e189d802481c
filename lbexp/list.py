"""What there is: the parts, experiments and fields of a configuration, from their docstrings.

    python -m lbexp.list                      every kind with its names
    python -m lbexp.list optimizers           one line each
    python -m lbexp.list optimizers lamb      its arguments: type, range, default, meaning; papers
    python -m lbexp.list fields batch_size    fields of the configuration that are so called
    python -m lbexp.list --completion=bash    a script of the shell (or zsh) that completes commands

Kinds: workloads, data, models, optimizers, schedules, example_weights, probes, replicas, studies,
trackers, executors, experiments, fields. A name may be 'package.module:function', of yours. Exit
status: 0 done, 2 there is no such thing.
"""

import ast
import inspect
import signal
import sys

from lbexp import command, completion
from lbexp import config as configs
from lbexp.config import lookup
from lbexp.config.description import described, described_part, field_entries, part_sentence
from lbexp.docstrings import first_sentence
from lbexp.errors import Refusal, refused
from lbexp.exit_status import DONE
from lbexp.flag_command import HELP
from lbexp.output import outlive_readers

# By the name of the command, that of the lookup.
PARTS = {
    'workloads': 'workload',
    'data': 'data',
    'models': 'model',
    'optimizers': 'optimizer',
    'schedules': 'schedule',
    'example_weights': 'example_weights',
    'probes': 'probe',
    'replicas': 'replicas',
    'studies': 'study',
    'trackers': 'tracker',
    'executors': 'executor',
}
KINDS = (*PARTS, 'experiments', 'fields')


def main(argv: list[str]) -> int:
    """Prints what is asked for. Returns the exit status."""
    if HELP & set(argv):
        print(__doc__)
        return DONE
    words = argv[1:]
    try:
        if len(words) == 1 and words[0].startswith('--completion'):
            print(_completion(words[0].partition('=')[2]))
        else:
            print('\n'.join(_lines(words)))
    except Exception as error:
        if not refused(error):
            raise
        return command.refuse([str(error)])
    return DONE


def names(kind: str) -> list[str]:
    """The names of a kind of the command."""
    if kind == 'experiments':
        return list(configs.experiment_files())
    if kind == 'fields':
        return [field for field, _ in _fields()]
    return lookup.names(PARTS[kind])


def _completion(shell):
    by_kind = {kind: names(kind) for kind in KINDS}
    flags = [f'--{name}=' for name in command.own_flags()]
    flags += [f'--config.{field}=' for field in by_kind['fields']]
    return completion.script(shell, flags, by_kind)


def _lines(words):
    if not words:
        return [f'{kind}: {", ".join(names(kind))}' for kind in KINDS]
    if words[0] not in KINDS:
        known = ', '.join(KINDS)
        hint = lookup.nearest(words[0], KINDS)
        raise Refusal(f'found {words[0]!r}; allowed: {known}.{hint}')
    if len(words) > 2:
        raise Refusal(f'found {" ".join(words[2:])}; allowed: a kind and a name')
    kind, *name = words
    if kind == 'fields':
        return _lines_of_fields(*name)
    if kind == 'experiments':
        return _lines_of_experiments(*name)
    if name:
        return _lines_of_part(PARTS[kind], *name)
    lines = []
    for known in names(kind):
        lines.append(f'{known}: {part_sentence(lookup.find(PARTS[kind], known))}')
    return lines


def _lines_of_part(kind, name):
    part = described_part(kind, name)
    lines = [f'{name}: {part.sentence}', '', *part.text.splitlines()]
    lines += ['', 'Arguments:' if part.arguments else 'No arguments.']
    for argument in part.arguments:
        default = '' if argument.default is None else f'={argument.default}'
        words = '; '.join(filter(None, [argument.allowed, argument.meaning]))
        lines += [f'  {argument.name}{default}', f'      {words}']
    if part.papers:
        lines += ['', f'Papers: {"; ".join(part.papers)}']
    return lines


def _lines_of_experiments(name=None):
    files = configs.experiment_files()
    if name is None:
        return [f'{known}: {first_sentence(_text(file))}' for known, file in files.items()]
    if name not in files:
        hint = lookup.nearest(name, files)
        raise Refusal(f'no experiment is named {name!r}.{hint} There are: {", ".join(files)}')
    return [str(files[name]), '', inspect.cleandoc(_text(files[name]))]


def _text(file):
    """The docstring of an experiment file, which is not run for that."""
    return ast.get_docstring(ast.parse(file.read_text())) or ''


def _lines_of_fields(name=None):
    lines = []
    for field, text in _fields():
        if name is None or name in (field, field.partition('.')[0]):
            lines.append(text)
    if not lines:
        hint = lookup.nearest(str(name), names('fields'))
        raise Refusal(f'no field is named {name!r}.{hint}')
    return lines


def _fields() -> list[tuple[str, str]]:
    """(name, two lines) of each field."""
    lines = described().splitlines()
    fields = []
    for entry, head, text in zip(field_entries(), lines[::2], lines[1::2], strict=True):
        fields.append((entry.name, f'{head}\n{text}'))
    return fields


if __name__ == '__main__':
    outlive_readers()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to save
    sys.exit(main(sys.argv))
