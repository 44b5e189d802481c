"""Elements of the page, as HTML: contents, sections that fold, tables, places of figures."""

import itertools
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from lbexp.analysis import Figure, Table
from lbexp.dotted import flatten
from lbexp.report import curves
from lbexp.report.colours import key
from lbexp.report.style import LEGEND

PROSE = 60  # characters of a cell that is to be wrapped
# of the figures in a section: the script reads them
TOOLS = (
    '<p class="tools"><label><input type="checkbox" autocomplete="off">smooth</label><label>scale '
    '<select autocomplete="off"><option value="">as it fits</option><option '
    'value="linear">linear</option><option value="log">logarithmic</option></select></label></p>'
)
TALL = 40  # rows beyond which a table scrolls


class Section(NamedTuple):
    """A part of the page that a click on its title folds."""

    title: str
    body: str  # HTML
    name: str  # of the place that a link leads to
    is_open: bool = True

    def html(self) -> str:
        """The section, in HTML."""
        summary = f'<summary><h2>{escape(self.title)}</h2></summary>'
        is_open = ' open' if self.is_open else ''
        return (
            f'<section><details id="{self.name}"{is_open}>{summary}{self.body}</details></section>'
        )


def contents(sections: Sequence[Section]) -> str:
    """Links to the sections; one that is folded unfolds."""
    links = [f'<a href="#{each.name}">{escape(each.title)}</a>' for each in sections]
    return f'<nav aria-label="contents">{"".join(links)}</nav>'


def table(content: Table) -> str:
    """A table and its caption; what did not end well is marked. A click on the head of a column
    sorts by it, where no row goes with the one above."""
    tall = ' tall' if len(content.rows) > TALL else ''
    parts = [f'<div class="wide{tall}">{_grid(content)}</div>']
    if content.caption:
        parts.append(f'<p class="caption">{escape(content.caption)}</p>')
    return ''.join(parts)


def _grid(content):
    columns = [escape(str(name)) for name in content.columns]
    head = ''.join(f'<th scope="col">{name}</th>' for name in columns)
    is_prose = _holds_prose(content.rows)
    body = []
    for row in content.rows:
        cells = []
        for place, cell in enumerate(row):
            # where cells stand below one another each says of which column it is
            label = columns[place] if is_prose and place < len(columns) else ''
            cells.append(_cell(cell, label))
        body.append(f'<tr>{"".join(cells)}</tr>')
    kind = 'prose' if is_prose else 'sortable'
    head = f'<thead><tr>{head}</tr></thead>'
    return f'<table class="{kind}">{head}<tbody>{"".join(body)}</tbody></table>'


def _holds_prose(rows):
    cells = itertools.chain.from_iterable(rows)
    return any(isinstance(cell, str) and len(cell) > PROSE for cell in cells)


def _cell(cell, label):
    """A cell; `label` is HTML."""
    if label:
        label = f' data-label="{label}"'
    if cell is None:
        return f'<td{label}>–</td>'
    bad = ' class="bad"' if str(cell) in ('diverged', 'failed') else ''
    return f'<td{bad}{label}>{escape(curves.text(cell))}</td>'


def figures(drawn: Sequence[Figure], first: int, formats: Sequence[str]) -> str:
    """Places for the figures `first`, `first` + 1, ... of the page's data."""
    if not drawn:
        return '<p class="caption">No row was recorded.</p>'
    places = []
    for number, drawing in enumerate(drawn, first):
        caption = (
            f'{escape(_caption(drawing))} <span class="links">{_links(drawing, formats)}</span>'
        )
        places.append(
            f'<figure><h3>{escape(drawing.title)}</h3><div class="plot" id="plot-{number}"></div>'
            f'<figcaption>{caption}</figcaption></figure>'
        )
    return f'<div class="grid">{"".join(places)}</div>'


def _caption(drawing):
    groups = {key(series) for series in drawing.series}
    if len(groups) <= LEGEND or drawing.colour_label:
        return drawing.caption
    note = f'{LEGEND} of {len(groups)} groups are named; pointing at a curve names it.'
    return f'{drawing.caption} {note}'.lstrip()


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
        f'<div class="wide tall"><table class="pairs"><tbody>{"".join(rows)}</tbody></table></div>'
    )
