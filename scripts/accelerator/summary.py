"""OUT/summary.md: versions, the command, and a table of every stage."""

import pathlib

from accelerator.record import rows

_FACTS = (
    'machine',
    'commit',
    'Python',
    'jax',
    'jaxlib',
    'jax-cuda12-plugin',
    'jax-cuda13-plugin',
    'flax',
    'optax',
    'orbax-checkpoint',
    'backend',
    'devices',
    'platform version',
    'driver',
    'not installed',
)


def write(out: pathlib.Path, command: str, seconds: float) -> None:
    """Writes what there is so far."""
    measured = rows(out)
    lines = ['# What an accelerator check measured', '', f'`{command}`: {seconds:.0f} s', '']
    facts = {row['metric']: row for row in measured if row['stage'] == 'environment'}
    for name in _FACTS:
        if 'value' in facts.get(name, {}):
            lines.append(f'* {name}: {facts[name]["value"]}')
    for stage in dict.fromkeys(row['stage'] for row in measured):
        lines += [
            '',
            f'## {stage}',
            '',
            '| metric | value | | what bounds it |',
            '|---|---|---|---|',
        ]
        for row in measured:
            if row['stage'] == stage and (stage, row['metric']) not in _above():
                lines.append(_line(row))
    (out / 'summary.md').write_text('\n'.join(lines) + '\n')


def _above():
    """What stands above the tables already."""
    return {('environment', name) for name in _FACTS}


def _line(row):
    if 'error' in row:
        cells = [row['metric'] or '-', 'failed', '', row['error']]
    else:
        value = row['value']
        value = f'{value:.4g}' if isinstance(value, float) else str(value)
        cells = [row['metric'], value, row['unit'], row['note']]
    return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'
