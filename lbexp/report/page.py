"""The report: one HTML file that needs nothing beside it, and the figures as files for a paper."""

import collections
import json
from collections.abc import Mapping, Sequence
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Figure, Table
from lbexp.engine.metrics_file import replace
from lbexp.links import refuse_links
from lbexp.local_path import local_path
from lbexp.report import FIGURE_FORMATS, claims, curves, elements, figure, paper, table
from lbexp.report.assets import SCRIPT, STYLE
from lbexp.report.file_names import file_names
from lbexp.report.style import shared_colours
from lbexp.results.metrics import headline

TRIALS = 500  # rows of the table of trials
_BADGES = {
    None: '',
    True: '<span class="badge good">claim held</span> ',
    False: '<span class="badge bad">claim failed</span> ',
}


def page(
    workdir: PathLike | str,
    analysis: Analysis | None = None,
    figure_formats: Sequence[str] = FIGURE_FORMATS,
    refresh: float | None = None,
) -> Path:
    """Writes `workdir`/report.html and `workdir`/figures/NAME.csv, .png, .pdf; returns the path of
    the page.

    The page holds the verdict, final metrics with medians and intervals over seeds, the study's
    tables and figures, a curve of every metric of every trial, the state of the trials, the
    resolved config and the environment.

    Args:
        workdir: a workdir (or a folder above workdirs; config and environment are then those of the
            folder, if any).
        analysis: an `analysis.Analysis`; None: the curves and the closing table alone.
        figure_formats: 'png', 'pdf', both or none; what a page links to.
        refresh: seconds after which a browser reads the page anew; None: never.

    Raises:
        Refusal: no workdir there, or a link in its folder of figures leads out of it.
        OSError: a file cannot be written; it is named.
    """
    workdir = local_path(str(workdir), 'workdir')
    rows, finals = results.load(workdir)
    document = results.configuration(workdir)
    analysis = analysis or Analysis(title(document['config'], workdir), '', [], [])
    drawn = drawings(analysis, rows, finals)
    # of the study's own: curves of hundreds of trials have colours of their own
    shared = shared_colours(analysis.figures)
    body = _body(analysis, finals, document, drawn, figure_formats)
    content = html(analysis.title, body, drawn, shared, refresh)
    return write(workdir, content, drawn, shared, figure_formats)


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
    file = folder / 'report.html'
    replace(file, content.encode())
    return file


def _body(analysis, finals, document, drawn, formats):
    """The sections of the page; of the figures drawn the study's own come first."""
    final_metrics = table.table(finals)
    sections = [_header(analysis, finals)]
    sections += map(elements.table, claims.claims(analysis))
    sections += map(elements.table, analysis.tables or [final_metrics])
    count = len(analysis.figures)
    if count:
        sections.append(elements.figures('Findings', drawn[:count], 0, formats))
    sections.append(elements.figures('Training curves', drawn[count:], count, formats))
    if analysis.tables:
        # A study that has tables of its own says in them what its trials are.
        untitled = elements.table(final_metrics._replace(title=''))
        sections.append(elements.folded(final_metrics.title, untitled, 'final'))
    environment = document.get('environment')
    if not isinstance(environment, dict):
        environment = {}
    config = elements.pairs(document['config'])
    sections += [
        elements.folded('Trials', elements.table(_trials(finals)), 'trials'),
        elements.folded('Resolved configuration', config, 'configuration'),
        elements.folded('Environment', elements.pairs(environment), 'environment'),
    ]
    return ''.join(sections)


def drawings(analysis: Analysis, rows: results.Columns, finals: results.Columns) -> list[Figure]:
    """The figures of the page: the study's own, then a curve of each metric; each named as its
    files are.

    Args:
        rows, finals: of `results.load`.
    """
    return _named(analysis.figures, curves.curves(rows, abscissa(finals)))


def _named(figures, metric_figures):
    """All of them, each with a name that is its files': a metric's that the study has taken is
    '..._curves'."""
    names = [drawing.name for drawing in figures]
    taken = set(names)
    for drawing in metric_figures:
        is_taken = drawing.name in taken
        names.append(f'{drawing.name}_curves' if is_taken else drawing.name)
    named = []
    for drawing, stem in zip([*figures, *metric_figures], file_names(names), strict=True):
        named.append(drawing._replace(name=stem))
    return named


def title(config: Mapping[str, Any], workdir: Path) -> str:
    """'lamb on digits_mlp', from the parts' names."""
    names = []
    for part in ('optimizer', 'workload'):
        content = config.get(part)
        if isinstance(content, dict) and isinstance(content.get('name'), str):
            names.append(content['name'])
    if len(names) < 2:
        return workdir.resolve().name
    return ' on '.join(names)


def abscissa(finals: results.Columns) -> str:
    """Trials of different batch sizes meet at equal epochs, others at equal steps."""
    batch_size_varies = 'batch' in ' '.join(results.varied(finals))
    if batch_size_varies and 'epoch' in results.numeric(finals):
        return 'epoch'
    return 'step'


def _header(analysis, finals):
    count = len(finals['trial'])
    states = table.tally(collections.Counter(finals['status']))
    facts = [f'{count} trial{"s" * (count != 1)}: {states}']
    if count:
        facts.append(f'{int(finals["step"].max())} steps')
    if 'wall_time' in results.numeric(finals):
        seconds = finals['wall_time']
        if np.isfinite(seconds).any():
            facts.append(f'{np.nanmax(seconds):.1f} s of training')
    badge = _BADGES[analysis.passed]
    verdict = ''
    if badge or analysis.verdict:
        verdict = f'<p class="verdict">{badge}{escape(analysis.verdict)}</p>'
    return (
        f'<header><h1>{escape(analysis.title)}</h1>{verdict}<p '
        f'class="facts">{escape(" · ".join(facts))}</p></header>'
    )


def _trials(finals):
    """What became of each trial; those that did not end well first when there are too many."""
    settings = results.varied(finals)
    count = len(finals['trial'])
    order, caption = np.arange(count), ''
    if count > TRIALS:
        # False sorts before True
        order = np.argsort(finals['status'] == 'done', kind='stable')[:TRIALS]
        caption = (
            f'{TRIALS} of {count} trials, those not done first; all of them: python -m '
            'lbexp.results WORKDIR --csv=FILE'
        )
    measured = results.measured(finals)
    names = ['trial', *settings, 'status', 'step']
    names += [name for name in headline() if name in measured]
    if len(set(finals['workdir'])) > 1:
        names.insert(0, 'workdir')
    rows = []
    for place in order:
        cells = {name: finals[name][place] for name in names}
        for name in settings:
            cells[name] = table.setting(cells[name])
        rows.append(list(cells.values()))
    short = curves.shortened(settings)
    columns = [short.get(name, name.replace('_', ' ')) for name in names]
    return Table('', columns, rows, caption)


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
    from plotly.offline import get_plotlyjs

    figures = [figure.figure(drawing, shared) for drawing in drawn]
    reading = ''
    if refresh is not None:
        reading = f'<meta http-equiv="refresh" content="{refresh:g}">'
    data = json.dumps(figures, separators=(',', ':'), allow_nan=False)
    # </script> inside a string would end the element
    data = data.replace('<', '\\u003c')
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta '
        f'charset="utf-8"><title>{escape(title)}</title>{reading}'
        '<meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><style>{STYLE}</style></head>'
        f'<body><main>{body}</main><script>{get_plotlyjs()}</script>'
        '<script type="application/json" '
        f'id="figures">{data}</script><script>{SCRIPT}</script></body></html>\n'
    )
