"""Markdown out of docstrings and tables."""

import re
from collections.abc import Iterable, Sequence

# What Markdown reads as markup and a docstring means as it stands; not inside backticks.
_MARKUP = re.compile(r'(`[^`]*`)|([*_<\[\]])')
_COLUMNS = re.compile(r'(\w+) {2,}(\S.*)')
_BULLET = re.compile(r'(\* |- |\d+\. )')


def prose(text: str) -> str:
    """A docstring's text: what is indented is code, columns are a list, and the rest reads as it
    stands."""
    return '\n\n'.join(map(_paragraph, re.split('\n{2,}', text.strip('\n'))))


def _paragraph(text):
    if _COLUMNS.match(text):
        return _bullets(text)
    lines = []
    for line in text.splitlines():
        if not line.startswith('    '):
            lines.append(escaped(line))
            continue
        # Markdown takes indented lines for code only after an empty one.
        if lines and not lines[-1].startswith('    '):
            lines.append('')
        lines.append(line)
    return '\n'.join(lines)


def _bullets(text):
    """'name    what it is', which goes on in lines that are indented."""
    items = []
    for line in text.splitlines():
        match = _COLUMNS.match(line)
        if match:
            items.append(f'* `{match[1]}`: {escaped(match[2])}')
        else:
            items[-1] += f' {escaped(line.strip())}'
    return '\n'.join(items)


def escaped(line: str) -> str:
    """A line whose characters mean themselves, but for code in backticks and a bullet."""
    bullet = _BULLET.match(line)
    start = bullet.end() if bullet else 0
    return line[:start] + _MARKUP.sub(lambda match: match[1] or f'\\{match[2]}', line[start:])


def code(text: str) -> str:
    """A piece of code in a line, which may hold '|' in a table."""
    return f'`{text}`'.replace('|', '\\|')


def block(text: str, language: str = 'text') -> str:
    return f'```{language}\n{text.rstrip()}\n```'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are Markdown."""
    lines = [columns, ['---'] * len(columns), *rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def cell(text: str) -> str:
    """Plain text as a cell of a table."""
    return escaped(' '.join(text.split())).replace('|', '\\|')
