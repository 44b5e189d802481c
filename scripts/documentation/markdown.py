"""Markdown out of docstrings and tables."""

import re
from collections.abc import Iterable, Sequence

# What Markdown reads as markup and a docstring means as it stands; not inside backticks.
_MARKUP = re.compile(r'(`[^`]*`)|([*_<\[\]])')
_BULLET = re.compile(r'(\* |- |\d+\. )')


def prose(text: str) -> str:
    """A docstring's text: what is indented is code, and the rest reads as it stands."""
    lines, after_blank, in_code = [], True, False
    for line in text.splitlines():
        if line.startswith('    '):
            # Markdown takes indented lines for code only after an empty one.
            if not after_blank and not in_code:
                lines.append('')
            in_code = True
            lines.append(line)
        else:
            in_code = in_code and not line
            lines.append(escaped(line))
        after_blank = not line
    return '\n'.join(lines).strip('\n')


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
