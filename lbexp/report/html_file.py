"""An HTML file that needs nothing beside it, and the files of its figures."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from lbexp.analysis import Figure
from lbexp.engine.metrics_file import replace
from lbexp.links import refuse_links
from lbexp.report import figure, paper
from lbexp.report.assets import SCRIPT, STYLE, packed, plotly


def write(
    folder: Path,
    content: str,
    drawn: Sequence[Figure],
    shared: Mapping[str, str],
    figure_formats: Sequence[str],
) -> Path:
    """Writes `folder`/report.html and the files of its figures; returns the path of the page.

    Args:
        content: of the page (`html`).
        shared: as in `paper.save`.
    """
    # a workdir may be anybody's: nothing is written through a link out of it
    refuse_links(folder / 'figures', folder)
    for drawing in drawn:
        paper.save(drawing, folder / 'figures', figure_formats, shared)
    # The page comes last: what it links to is there.
    file = folder / 'report.html'
    replace(file, content.encode())
    return file


def html(
    title: str,
    body: str,
    drawn: Sequence[Figure],
    shared: Mapping[str, str],
    refresh: float | None = None,
) -> str:
    """A page that needs nothing beside it.

    Args:
        body: HTML, with a place for each figure (`elements.figures`).
        shared, refresh: as in `page`.
    """
    reading = ''
    if refresh is not None:
        reading = f'<meta http-equiv="refresh" content="{refresh:g}">'
    figures = [figure.figure(drawing, shared) for drawing in drawn]
    # A browser's JSON has no NaN: an error here, not a page that draws nothing.
    data = json.dumps(figures, separators=(',', ':'), allow_nan=False)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta '
        f'charset="utf-8"><title>{escape(title)}</title>{reading}'
        '<meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><style>{STYLE}</style></head>'
        f'<body><main>{body}</main>{plotly()}{packed(data, "figures")}'
        f'<script>{SCRIPT}</script></body></html>\n'
    )
