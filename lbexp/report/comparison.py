"""Several runs on one page: curves one over the other, what differs between their configurations,
and differences of their results, paired by seed."""

import collections
import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lbexp import inference, results
from lbexp.analysis import Table
from lbexp.dotted import flatten
from lbexp.errors import Refusal
from lbexp.report import FIGURE_FORMATS, curves, elements, html_file, page, table
from lbexp.results.distinct import distinct
from lbexp.results.metrics import headline

_RUN = 'run'  # the column that names the run of a trial


class Comparison(NamedTuple):
    """Runs side by side.

    Args:
        names: of the runs, as the tables have them, by workdir.
        rows, finals: columns of `results.load` with a column 'run'; of the settings those that vary
            within a run.
    """

    names: dict[str, str]
    rows: results.Columns
    finals: results.Columns


def comparison(paths: Sequence[Path | str]) -> Comparison:
    """Reads workdirs, and those below folders, in the order of `paths`.

    Raises:
        Refusal: fewer than two, or one that cannot be read.
    """
    rows, finals = results.load(*paths)
    folders = list(dict.fromkeys(finals['workdir']))
    if len(folders) < 2:
        raise Refusal(f'found {len(folders)} workdir; allowed: two or more to compare')
    names = dict(zip(folders, distinct(_short(folders)), strict=True))
    within = _varied_within(finals, folders)
    return Comparison(names, _with_run(rows, names, within), _with_run(finals, names, within))


def write(
    compared: Comparison, folder: Path, figure_formats: Sequence[str] = FIGURE_FORMATS
) -> Path:
    """Writes `folder`/report.html and the files of its figures; returns the path of the page.

    Raises:
        Refusal: the folder is a workdir, which has a report of its own.
    """
    if (folder / results.CONFIG).exists() or (folder / results.METRICS).exists():
        raise Refusal(f'{folder}: found a workdir; allowed: another folder for the comparison')
    folder.mkdir(parents=True, exist_ok=True)
    title = ' and '.join(compared.names.values())
    if len(compared.names) > 3:
        title = f'{len(compared.names)} runs'
    drawn = curves.curves(compared.rows, page.abscissa(compared.finals))
    sections = []
    for place, content in enumerate(tables(compared)):
        section = elements.Section(content.title, elements.table(content), f'table-{place + 1}')
        sections.append(section)
    figures = elements.figures(drawn, 0, figure_formats)
    sections.append(elements.Section('Training curves', figures, 'curves'))
    body = [f'<header><h1>{escape(title)}</h1></header>']
    body += [section.html() for section in sections]
    content = html_file.html(title, ''.join(body), drawn, {})
    return html_file.write(folder, content, drawn, {}, figure_formats)


def tables(compared: Comparison) -> list[Table]:
    """Final metrics, paired differences from the first run, and what differs between the
    configurations and between the environments."""
    documents = []
    for folder in compared.names:
        documents.append(results.configuration(Path(folder)))
    configurations = _differing('Configuration', 'field', compared.names, documents, 'config')
    environments = _differing('Environment', '', compared.names, documents, 'environment')
    shown = [table.table(compared.finals), paired(compared), configurations, environments]
    return [content for content in shown if content.rows]


def paired(compared: Comparison, confidence: float = 0.95) -> Table:
    """Differences of the final metrics from the first run, of trials that have the same seed and
    the same of what varies within the runs:

        mean +- t s / sqrt(n)    over the pairs (`inference.mean_interval`)

    p is two-sided, by sign flips, alone and corrected for the number of differences. A pair in
    which a trial diverged is left out, and counted.

    Args:
        confidence: of the interval, in (0, 1).
    """
    finals = compared.finals
    reference, *others = compared.names.values()
    metrics = headline(results.numeric(finals))
    sides = {name: _by_key(finals, name) for name in compared.names.values()}
    rows, p_values = [], []
    for other in others:
        for words, pairs in _pairs(sides[reference], sides[other]).items():
            for metric in metrics:
                row, p = _difference(finals, pairs, metric, confidence)
                rows.append([other, words, metric.replace('_', ' '), *row])
                p_values.append(p)
    for row, p in zip(rows, inference.holm(p_values), strict=True):
        row.append(_number(p))
    settings = [name for name in curves.compared(finals) if name != _RUN]
    columns = [_RUN, ', '.join(curves.shortened(settings).values()), 'metric', 'pairs', 'diverged']
    columns += [f'difference from {reference}', 'p', 'p, all']
    if not settings:
        columns.pop(1)
        for row in rows:
            row.pop(1)
    caption = (
        f'Of trials with the same seed; mean with {confidence:.0%} interval (Student). p: by '
        'flipping signs (Fisher 1935), alone and corrected for their number (Holm 1979); below '
        f'{inference.LEAST_PAIRS} pairs it cannot fall to 0.05.'
    )
    return Table('Paired differences', columns, rows, caption)


def _short(folders):
    """Names of the folders without what their paths begin with in common."""
    parts = [Path(folder).parts for folder in folders]
    shared = 0
    while len({path[shared : shared + 1] for path in parts}) == 1:
        shared += 1
    for path in parts:
        yield '/'.join(path[shared:]) or path[-1]


def _varied_within(finals, folders):
    """Settings that differ between trials of one run."""
    within = []
    for name in results.varied(finals):
        texts = list(map(curves.text, finals[name]))
        by_folder = collections.defaultdict(set)
        for folder, text in zip(finals['workdir'], texts, strict=True):
            by_folder[folder].add(text)
        if name != 'seed' and any(len(values) > 1 for values in by_folder.values()):
            within.append(name)
    return within


def _with_run(columns, names, within):
    """The columns with the run before what varies within it."""
    dropped = {name for name in results.varied(columns) if name not in (*within, 'seed')}
    dropped |= {*results.tags(columns), _RUN}
    shown = {}
    for name, column in columns.items():
        if name not in dropped:
            shown[name] = column
        if name == 'trial':
            runs = [names[folder] for folder in columns['workdir']]
            shown[_RUN] = np.array(runs, object)
    return shown


def _by_key(finals, run):
    """{(settings in words, seed): place of the trial} of a run; of a repeated one the first."""
    settings = [name for name in curves.compared(finals) if name != _RUN]
    places = {}
    for place in np.flatnonzero(finals[_RUN] == run).tolist():
        words = ', '.join(curves.text(finals[name][place]) for name in settings)
        seed = curves.text(finals['seed'][place]) if 'seed' in finals else ''
        places.setdefault((words, seed), place)
    return places


def _pairs(reference, other):
    """{settings in words: [(place in the reference, place in the other)]}."""
    pairs = {}
    for key, place in other.items():
        if key in reference:
            pairs.setdefault(key[0], []).append((reference[key], place))
    return pairs


def _difference(finals, pairs, metric, confidence):
    """Pairs, those that diverged, difference and p as text; and p as a number."""
    differences, diverged = [], 0
    for first, second in pairs:
        if 'diverged' in (finals['status'][first], finals['status'][second]):
            diverged += 1
        else:
            differences.append(float(finals[metric][second] - finals[metric][first]))
    count = len(inference.finite(differences))
    mean, low, high = inference.mean_interval(differences, confidence)
    p = inference.sign_flip(differences)
    cell = _number(mean)
    if not math.isnan(low):
        cell = f'{mean:+.4g} [{low:+.4g}, {high:+.4g}]'
    return [count, diverged, cell, _number(p)], p


def _number(value):
    return '–' if math.isnan(value) else f'{value:.3g}'


def _differing(title, column, names, documents, part):
    """A table of what differs between the runs in a part of config.json."""
    flats = []
    for document in documents:
        content: Any = document.get(part)
        flats.append(flatten(content) if isinstance(content, dict) else {})
    keys = {}
    for flat in flats:
        keys |= dict.fromkeys(flat)
    rows = []
    for key in keys:
        texts = [json.dumps(flat.get(key)) for flat in flats]
        if len(set(texts)) > 1:
            rows.append([key, *(table.setting(flat.get(key)) for flat in flats)])
    return Table(title, [column, *names.values()], rows, '')
