"""Elements of the page, as HTML: tables, places of figures, sections that unfold."""

import itertools
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lbexp.analysis import Figure, Table
from lbexp.dotted import flatten
from lbexp.report import curves

PROSE = 60  # characters of a cell that is to be wrapped


def table(content: Table) -> str:
    """A section with a table; what did not end well is marked."""
    parts = ['<section>']
    if content.title:
        parts.append(f'<h2>{escape(content.title)}</h2>')
    parts.append(f'<div class="wide">{_grid(content)}</div>')
    if content.caption:
        parts.append(f'<p class="caption">{escape(content.caption)}</p>')
    parts.append('</section>')
    return ''.join(parts)


def _grid(content):
    head = ''.join(f'<th>{escape(str(name))}</th>' for name in content.columns)
    body = []
    for row in content.rows:
        body.append(f'<tr>{"".join(map(_cell, row))}</tr>')
    prose = ' class="prose"' if _holds_prose(content.rows) else ''
    return f'<table{prose}><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def _holds_prose(rows):
    cells = itertools.chain.from_iterable(rows)
    return any(isinstance(cell, str) and len(cell) > PROSE for cell in cells)


def _cell(cell):
    if cell is None:
        return '<td>–</td>'
    bad = ' class="bad"' if str(cell) in ('diverged', 'failed') else ''
    return f'<td{bad}>{escape(curves.text(cell))}</td>'


def figures(title: str, drawn: Sequence[Figure], first: int, formats: Sequence[str]) -> str:
    """Places for the figures `first`, `first` + 1, ... of the page's data."""
    if not drawn:
        return f'<section><h2>{title}</h2><p class="caption">No row was recorded.</p></section>'
    places = []
    for number, drawing in enumerate(drawn, first):
        caption = f'{escape(drawing.caption)} <span class="links">{_links(drawing, formats)}</span>'
        places.append(
            f'<figure><h3>{escape(drawing.title)}</h3><div class="plot" id="plot-{number}"></div>'
            f'<figcaption>{caption}</figcaption></figure>'
        )
    return f'<section><h2>{title}</h2><div class="grid">{"".join(places)}</div></section>'


def _links(drawing, formats):
    """Links to the files that `paper.save` writes beside the page."""
    stem = escape(drawing.name)
    links = []
    for kind in (*formats, 'csv'):
        links.append(f'<a href="figures/{stem}.{kind}">{kind.upper()}</a>')
    return ' '.join(links)


def pairs(content: Mapping[str, Any]) -> str:
    """Nested data as a table of paths and values with a filter above it."""
    rows = []
    for path, value in flatten(dict(content)).items():
        if not isinstance(value, str):
            value = json.dumps(value)
        rows.append(
            f'<tr><td><code>{escape(path)}</code></td><td><code>{escape(value)}</code></td></tr>'
        )
    if not rows:
        return '<p class="caption">Not recorded.</p>'
    return (
        '<input type="search" placeholder="filter" aria-label="filter rows">'
        f'<div class="wide"><table class="pairs"><tbody>{"".join(rows)}</tbody></table></div>'
    )


def folded(title: str, body: str, name: str) -> str:
    """A section that a click on its title unfolds."""
    summary = f'<summary><h2>{title}</h2></summary>'
    return f'<section><details id="{name}">{summary}{body}</details></section>'
