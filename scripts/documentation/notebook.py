"""Notebooks as Python files: run cell by cell, written as Markdown with outputs and as .ipynb.

    python scripts/documentation/notebook.py docs/tutorials/own_data.py build/docs/tutorials

A line '# %%' begins a cell of code, '# %% [markdown]' a cell of text in comments: the percent
format, which Jupytext, VS Code and PyCharm open as a notebook. It runs in an empty folder. An
exception in a cell ends the build.
"""

import base64
import json
import os
import pathlib
import re
import sys
import tempfile
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from documentation.markdown import block

_MARK = re.compile('^# %%', flags=re.MULTILINE)
_ESCAPES = re.compile(r'\x1b\[[0-9;?]*[A-Za-z]')  # colours and movements of a terminal


class Cell(NamedTuple):
    is_text: bool
    source: str


def main(argv: list[str]) -> int:
    if len(argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    file, target = pathlib.Path(argv[1]), pathlib.Path(argv[2]).absolute()
    cells = read(file)
    target.mkdir(parents=True, exist_ok=True)
    (target / f'{file.stem}.ipynb').write_text(jupyter(cells))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, '')
        markdown = executed(cells, target / file.stem)
        os.chdir(target)
    link = f'[This page as a notebook]({file.stem}.ipynb), without its outputs.'
    (target / f'{file.stem}.md').write_text(f'{markdown}\n\n{link}\n')
    return 0


def read(file: pathlib.Path) -> list[Cell]:
    """The cells of a file in percent format."""
    cells = []
    for part in _MARK.split(file.read_text())[1:]:
        kind, _, source = part.partition('\n')
        is_text = kind.strip() == '[markdown]'
        if is_text:
            lines = source.splitlines()
            source = '\n'.join(line.removeprefix('#').removeprefix(' ') for line in lines)
        cells.append(Cell(is_text, source.strip('\n')))
    return cells


def jupyter(cells: list[Cell]) -> str:
    """The notebook file (nbformat 4), without outputs."""
    entries = []
    for number, cell in enumerate(cells):
        entry = {
            'cell_type': 'markdown' if cell.is_text else 'code',
            'id': f'cell-{number}',
            'metadata': {},
            'source': cell.source.splitlines(keepends=True),
        }
        if not cell.is_text:
            entry |= {'execution_count': None, 'outputs': []}
        entries.append(entry)
    language = {'language_info': {'name': 'python'}}
    book = {'cells': entries, 'metadata': language, 'nbformat': 4, 'nbformat_minor': 5}
    return json.dumps(book, indent=1) + '\n'


def executed(cells: list[Cell], pictures: pathlib.Path) -> str:
    """Runs the cells and returns them with what they print and show, as Markdown.

    Args:
        pictures: folder of the figures, beside the page.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.pylabtools import select_figure_formats
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    shell.colors = 'nocolor'
    select_figure_formats(shell, {'png'})
    values = []  # of the cell's last line, which a notebook shows
    shell.display_trap.hook = values.append
    parts = []
    for number, cell in enumerate(cells):
        if cell.is_text:
            parts.append(cell.source)
            continue
        with capture_output() as captured:
            result = shell.run_cell(cell.source)
        if not result.success:
            raise SystemExit(f'{pictures.name}: {captured.stdout}{captured.stderr}')
        parts.append(block(cell.source, 'python'))
        printed = _ESCAPES.sub('', captured.stdout).strip('\n')
        if printed:
            parts.append(block(printed))
        if values and values[-1] is not None:
            data, _ = shell.display_formatter.format(values[-1])
            parts.append(shown(data, pictures, f'figure-{number}'))
        values.clear()
    return '\n\n'.join(parts)


def shown(data: dict, pictures: pathlib.Path, name: str) -> str:
    """An output as Markdown: a picture, a table or text.

    Args:
        data: {MIME type: content}, as Jupyter has it.
    """
    if 'image/png' in data:
        pictures.mkdir(exist_ok=True)
        content = data['image/png']
        if isinstance(content, str):
            content = base64.b64decode(content)
        (pictures / f'{name}.png').write_bytes(content)
        return f'![{name}]({pictures.name}/{name}.png)'
    if 'text/html' in data:
        return re.sub(r'<style.*?</style>', '', data['text/html'], flags=re.DOTALL)
    return block(data['text/plain'])


if __name__ == '__main__':
    sys.exit(main(sys.argv))
