"""The report: one HTML file that needs nothing beside it, and the figures as files for a paper."""

import collections
import itertools
from collections.abc import Mapping, Sequence
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Figure, Table
from lbexp.documents import Summary
from lbexp.local_path import local_path
from lbexp.report import (
    FIGURE_FORMATS,
    best,
    claims,
    curves,
    elements,
    networks,
    predictions,
    table,
)
from lbexp.report.elements import Section
from lbexp.report.file_names import file_names
from lbexp.report.html_file import html, write
from lbexp.report.style import shared_colours
from lbexp.results.metrics import headline

TRIALS = 500  # rows of the table of trials
_BADGES = {
    None: '',
    True: '<span class="badge good">claim held</span> ',
    False: '<span class="badge bad">claim failed</span> ',
}


class Drawn(NamedTuple):
    """The figures of a page, by section."""

    answer: Sequence[Figure]
    study: Sequence[Figure]
    curves: Sequence[Figure]
    schedule: Sequence[Figure]


def page(
    workdir: PathLike | str,
    analysis: Analysis | None = None,
    figure_formats: Sequence[str] = FIGURE_FORMATS,
    refresh: float | None = None,
) -> Path:
    """Writes `workdir`/report.html and `workdir`/figures/NAME.csv, .png, .pdf; returns the path of
    the page.

    The page holds the verdict, which configuration is best, final metrics with medians and
    intervals over seeds, the study's tables and figures, a curve of every metric of every trial,
    the network, the schedule as planned, the state of the trials, the resolved config, the
    environment and what the experiment file says.

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
    summary = results.summary(workdir)
    compared = best.comparison(finals, networks.target(summary))
    drawn = drawings(analysis, rows, finals, summary, compared)
    # of the study's own: curves of hundreds of trials have colours of their own
    shared = shared_colours(analysis.figures)
    beside = [*predictions.sections(results.predictions(workdir)), *_throughput(summary, rows)]
    sections = _sections(analysis, finals, document, summary, drawn, figure_formats, beside)
    header = _header(analysis, finals, summary, best.answer(finals, compared))
    body = header + elements.contents(sections)
    body += ''.join(section.html() for section in sections)
    all_drawn = list(itertools.chain(*drawn))
    content = html(analysis.title, body, all_drawn, shared, refresh)
    return write(workdir, content, all_drawn, shared, figure_formats)


def _sections(analysis, finals, document, summary, drawn, formats, beside):
    """The sections of the page; `drawn` are its figures, by section, `beside` those on what a
    network gets wrong, and how fast it trained."""
    metric = networks.target(summary)
    final_metrics = table.table(finals, target=metric)
    sections = []
    if drawn.answer:
        figures = elements.figures(drawn.answer, 0, formats)
        sections.append(Section('What was varied', figures, 'varied'))
    tables = [*claims.claims(analysis), *(analysis.tables or [final_metrics])]
    for place, content in enumerate(tables):
        title = content.title or f'Table {place + 1}'
        sections.append(Section(title, elements.table(content), f'table-{place + 1}'))
    first = len(drawn.answer)
    if drawn.study:
        figures = elements.figures(drawn.study, first, formats)
        sections.append(Section('Findings', figures, 'findings'))
    first += len(drawn.study)
    figures = elements.figures(drawn.curves, first, formats)
    if drawn.curves:
        figures = elements.TOOLS + figures
    sections.append(Section('Training curves', figures, 'curves'))
    sections += beside
    if analysis.tables:
        # A study that has tables of its own says in them what its trials are.
        body = elements.table(final_metrics)
        sections.append(Section(final_metrics.title, body, 'final', is_open=False))
    sections += _model(summary, drawn.schedule, first + len(drawn.curves), formats)
    return sections + _records(finals, document, summary, metric)


def _throughput(summary, rows):
    content = networks.throughput(summary, rows)
    if content is None:
        return []
    return [Section(content.title, elements.table(content), 'throughput', is_open=False)]


def _model(summary, schedule, first, formats):
    """The sections on what was trained."""
    sections = []
    if schedule:
        figures = elements.figures(schedule, first, formats)
        sections.append(Section('Schedule', figures, 'schedule'))
    if summary.networks:
        body = []
        for network in summary.networks:
            content = networks.layers(network)
            body.append(f'<h3>{escape(content.title)}</h3>{elements.table(content)}')
        sections.append(Section('Model', ''.join(body), 'model', is_open=False))
    return sections


def _records(finals, document, summary, metric):
    """The sections on how it was run."""
    environment = document.get('environment')
    if not isinstance(environment, dict):
        environment = {}
    bodies = {
        'Trials': elements.table(_trials(finals, metric)),
        'Resolved configuration': elements.pairs(document['config']),
        'Environment': elements.pairs(environment),
    }
    if summary.docstring:
        bodies['Experiment'] = f'<pre>{escape(summary.docstring)}</pre>'
    sections = []
    for title, body in bodies.items():
        name = title.split()[-1].lower()
        sections.append(Section(title, body, name, is_open=False))
    return sections


def drawings(
    analysis: Analysis,
    rows: results.Columns,
    finals: results.Columns,
    summary: Summary,
    compared: best.Comparison | None,
) -> Drawn:
    """The figures of the page, each named as its files are.

    Args:
        rows, finals: of `results.load`.
        summary: of `results.summary`.
        compared: the configurations, of `best.comparison`.
    """
    metric = networks.target(summary)
    return _named(
        Drawn(
            best.figures(finals, compared),
            analysis.figures,
            curves.curves(rows, abscissa(finals), metric),
            networks.schedule(summary, finals),
        )
    )


def _named(drawn):
    """All of them, each with a name that is its files': a metric's that the study has taken is
    '..._curves'."""
    # the study's first: they keep their names
    order = [*drawn.study, *drawn.answer, *drawn.curves, *drawn.schedule]
    taken = {drawing.name for drawing in drawn.study}
    names = []
    for place, drawing in enumerate(order):
        is_taken = place >= len(drawn.study) and drawing.name in taken
        names.append(f'{drawing.name}_curves' if is_taken else drawing.name)
    named = []
    for drawing, stem in zip(order, file_names(names), strict=True):
        named.append(drawing._replace(name=stem))
    parts = iter(named)
    study = list(itertools.islice(parts, len(drawn.study)))
    answer = list(itertools.islice(parts, len(drawn.answer)))
    return Drawn(answer, study, list(itertools.islice(parts, len(drawn.curves))), list(parts))


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


def _header(analysis, finals, summary, answer):
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
    if answer:
        verdict = f'<p class="answer">{escape(answer)}</p>{verdict}'
    claim = ' '.join(summary.docstring.partition('\n\n')[0].split())
    if claim:
        verdict += f'<p class="claim">Experiment: {escape(claim)}</p>'
    facts += networks.facts(summary)
    return (
        f'<header><h1>{escape(analysis.title)}</h1>{verdict}<p '
        f'class="facts">{escape(" · ".join(facts))}</p></header>'
    )


def _trials(finals, metric):
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
    names = ['trial', *settings, *headline(results.numeric(finals), metric), 'status', 'step']
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
