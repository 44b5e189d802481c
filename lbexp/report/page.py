"""The report: one HTML file that needs nothing beside it, and the figures as files for a paper."""

import json
from collections.abc import Sequence
from html import escape
from os import PathLike
from pathlib import Path

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Table
from lbexp.dotted import flatten
from lbexp.engine.metrics_file import replace
from lbexp.links import refuse_links
from lbexp.local_path import local_path
from lbexp.report import FIGURE_FORMATS, claims, curves, figure, paper, table
from lbexp.report.file_names import file_names
from lbexp.results.metrics import headline

TRIALS = 500  # rows of the table of trials
PROSE = 60  # characters of a cell that is to be wrapped


def page(
    workdir: PathLike | str,
    analysis: Analysis | None = None,
    figure_formats: Sequence[str] = FIGURE_FORMATS,
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

    Raises:
        Refusal: no workdir there, or a link in its folder of figures leads out of it.
        OSError: a file cannot be written; it is named.
    """
    workdir = local_path(str(workdir), 'workdir')
    rows, finals = results.load(workdir)
    facts = results.configuration(workdir)
    config = facts['config']
    environment = facts.get('environment')
    environment = environment if isinstance(environment, dict) else {}
    analysis = analysis or Analysis(_title(config, workdir), '', [], [])
    drawn = _named([*analysis.figures], curves.curves(rows, _abscissa(finals)))
    folder = workdir / 'figures'
    refuse_links(folder, workdir)
    for drawing in drawn:
        paper.save(drawing, folder, figure_formats)
    count, closing, folded = len(analysis.figures), table.table(finals), []
    tables = [*claims.claims(analysis), *(analysis.tables or [closing])]
    if analysis.tables:
        # A study that has tables of its own says in them what its trials are.
        folded.append(_folded(closing.title, _table(closing._replace(title='')), 'final'))
    sections = [
        _header(analysis, finals),
        *map(_table, tables),
        _figures('Findings', drawn[:count], 0, figure_formats) if count else '',
        _figures('Training curves', drawn[count:], count, figure_formats),
        *folded,
        _folded('Trials', _table(_trials(finals)), 'trials'),
        _folded('Resolved configuration', _pairs(config), 'configuration'),
        _folded('Environment', _pairs(environment), 'environment'),
    ]
    file = workdir / 'report.html'
    replace(file, _document(analysis.title, ''.join(sections), drawn).encode())
    return file


def _named(figures, metric_figures):
    """All of them, each with a name that is its files': a metric's that the study has taken is
    '..._curves'."""
    taken, drawn = {drawing.name for drawing in figures}, list(figures)
    for drawing in metric_figures:
        name = f'{drawing.name}_curves' if drawing.name in taken else drawing.name
        drawn.append(drawing._replace(name=name))
    stems = file_names([drawing.name for drawing in drawn])
    return [drawing._replace(name=stem) for drawing, stem in zip(drawn, stems, strict=True)]


def _title(config, workdir):
    """'lamb on digits_mlp', from the parts' names."""
    names = [
        config[part]['name']
        for part in ('optimizer', 'workload')
        if isinstance(config.get(part), dict) and isinstance(config[part].get('name'), str)
    ]
    return ' on '.join(names) if len(names) == 2 else workdir.resolve().name


def _abscissa(finals):
    """Trials of different batch sizes meet at equal epochs, others at equal steps."""
    counted = 'epoch' in finals and finals['epoch'].dtype != object
    return (
        'epoch' if counted and any('batch' in name for name in results.varied(finals)) else 'step'
    )


def _header(analysis, finals):
    counts = {
        name: int(np.sum(finals['status'] == name)) for name in dict.fromkeys(finals['status'])
    }
    states = ', '.join(f'{number} {name}' for name, number in counts.items())
    facts = [f'{len(finals["trial"])} trial{"s" * (len(finals["trial"]) != 1)}: {states}']
    if len(finals['step']):
        facts.append(f'{int(finals["step"].max())} steps')
    seconds = finals.get('wall_time')
    if seconds is not None and seconds.dtype != object and np.isfinite(seconds).any():
        facts.append(f'{np.nanmax(seconds):.1f} s of training')
    badge = {
        None: '',
        True: '<span class="badge good">claim held</span> ',
        False: '<span class="badge bad">claim failed</span> ',
    }[analysis.passed]
    verdict = (
        f'<p class="verdict">{badge}{escape(analysis.verdict)}</p>'
        if badge or analysis.verdict
        else ''
    )
    return (
        f'<header><h1>{escape(analysis.title)}</h1>{verdict}<p '
        f'class="facts">{escape(" · ".join(facts))}</p></header>'
    )


def _table(content):
    head = ''.join(f'<th>{escape(str(name))}</th>' for name in content.columns)
    body = ''.join(f'<tr>{"".join(map(_cell, row))}</tr>' for row in content.rows)
    title = f'<h2>{escape(content.title)}</h2>' if content.title else ''
    caption = f'<p class="caption">{escape(content.caption)}</p>' if content.caption else ''
    texts = [cell for row in content.rows for cell in row if isinstance(cell, str)]
    prose = ' class="prose"' if any(len(text) > PROSE for text in texts) else ''
    grid = f'<table{prose}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<section>{title}<div class="wide">{grid}</div>{caption}</section>'


def _cell(cell):
    bad = ' class="bad"' if str(cell) in ('diverged', 'failed') else ''
    empty = cell is None or (isinstance(cell, float) and np.isnan(cell))
    return f'<td{bad}>{"–" if empty else escape(curves.text(cell))}</td>'


def _figures(title, drawn, first, formats):
    """Places for the figures `first`, `first` + 1, ... of the page's data."""
    if not drawn:
        return f'<section><h2>{title}</h2><p class="caption">No row was recorded.</p></section>'
    places = []
    for number, drawing in enumerate(drawn, first):
        links = ' '.join(
            f'<a href="figures/{escape(drawing.name)}.{kind}">{kind.upper()}</a>'
            for kind in (*formats, 'csv')
        )
        places.append(
            f'<figure><h3>{escape(drawing.title)}</h3><div class="plot" id="plot-{number}"></div>'
            f'<figcaption>{escape(drawing.caption)} <span '
            f'class="links">{links}</span></figcaption></figure>'
        )
    return f'<section><h2>{title}</h2><div class="grid">{"".join(places)}</div></section>'


def _trials(finals):
    """What became of each trial; those that did not end well first when there are too many."""
    keys, metrics = results.varied(finals), [name for name in headline() if name in finals]
    count = len(finals['trial'])
    order = np.arange(count)
    if count > TRIALS:
        order = np.argsort(finals['status'] == 'done', kind='stable')[:TRIALS]
    several = len(set(finals['workdir'])) > 1
    names = [*(['workdir'] if several else []), 'trial', *keys, 'status', 'step', *metrics]
    short = curves.shortened(keys)
    rows = []
    for place in order:
        cells = [finals[name][place] for name in names]
        settings = [table.setting(c) if n in keys else c for n, c in zip(names, cells, strict=True)]
        rows.append(settings)
    caption = (
        f'{TRIALS} of {count} trials, those not done first; all of them: python -m lbexp.results '
        'WORKDIR --csv=FILE'
    )
    return Table(
        '',
        [short.get(name, name.replace('_', ' ')) for name in names],
        rows,
        caption if count > TRIALS else '',
    )


def _pairs(content):
    """Nested data as a table of paths and values with a filter above it."""
    rows = [
        [path, value if isinstance(value, str) else json.dumps(value)]
        for path, value in flatten(content).items()
    ]
    if not rows:
        return '<p class="caption">Not recorded.</p>'
    body = ''.join(
        f'<tr><td><code>{escape(path)}</code></td><td><code>{escape(value)}</code></td></tr>'
        for path, value in rows
    )
    return (
        '<input type="search" placeholder="filter" aria-label="filter rows">'
        f'<div class="wide"><table class="pairs"><tbody>{body}</tbody></table></div>'
    )


def _folded(title, body, name):
    return (
        '<section><details '
        f'id="{name}"><summary><h2>{title}</h2></summary>{body}</details></section>'
    )


def _document(title, body, drawn):
    from plotly.offline import get_plotlyjs

    data = json.dumps(
        [figure.figure(drawing) for drawing in drawn], separators=(',', ':'), allow_nan=False
    )
    data = data.replace('<', '\\u003c')  # </script> inside a string would end the element
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta '
        f'charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><style>{STYLE}</style></head>'
        f'<body><main>{body}</main><script>{get_plotlyjs()}</script>'
        '<script type="application/json" '
        f'id="figures">{data}</script><script>{SCRIPT}</script></body></html>\n'
    )


STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5b6570; --paper: #fff; --line: #dde1e6; --shade: #f5f7f9;
  --good: #0a6b45; --bad: #b3261e; --link: #0b5cad; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ec; --soft: #9ba6b1; --paper: #14171a; --line: #333a41;
  --shade: #1d2226; --good: #4cc38a; --bad: #ff8a80; --link: #7ab7ff; } }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1320px; margin: 0 auto; padding: 28px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 6px; }
h2 { font-size: 18px; margin: 32px 0 10px; }
h3 { font-size: 14px; margin: 0 0 2px; }
.verdict { font-size: 17px; margin: 6px 0; max-width: 75ch; }
.facts, .caption, figcaption { color: var(--soft); font-size: 13px; margin: 6px 0 0; }
.badge { border: 1px solid; border-radius: 4px; padding: 1px 8px; font-size: 13px; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } td.bad { font-weight: 600; }
.wide { overflow: auto; max-height: 620px; }
thead th { position: sticky; top: 0; background: var(--paper); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 4px 14px 4px 0; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child, .pairs td { text-align: left; }
.pairs td { white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
.pairs td:first-child { white-space: nowrap; }
.prose td { white-space: normal; text-align: left; vertical-align: top; } .prose th { text-align: left; }
code { font: 13px/1.4 ui-monospace, monospace; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 520px), 1fr)); gap: 26px 32px; }
figure { margin: 0; min-width: 0; } .plot { height: 370px; }
a { color: var(--link); } details { border-top: 1px solid var(--line); }
summary { cursor: pointer; padding: 10px 0; } summary h2 { display: inline; margin: 0; }
input { font: inherit; color: inherit; background: var(--shade); border: 1px solid var(--line); border-radius: 4px;
  padding: 4px 8px; margin: 0 0 8px; width: min(100%, 320px); }
@media print { input, .links { display: none; } .wide { max-height: none; } }
"""  # noqa: E501

SCRIPT = """
const figures = JSON.parse(document.getElementById('figures').textContent);
const dark = matchMedia('(prefers-color-scheme: dark)');
function layout(own) {
  const read = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = {gridcolor: read('--line'), linecolor: read('--line'), zeroline: false};
  return {...own, xaxis: {...own.xaxis, ...axis}, yaxis: {...own.yaxis, ...axis},
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', hovermode: 'closest',
    font: {color: read('--ink'), family: 'system-ui, sans-serif', size: 12}, margin: {l: 60, r: 8, t: 26, b: 44},
    modebar: {bgcolor: 'rgba(0,0,0,0)', color: read('--soft'), activecolor: read('--ink')},
    legend: {orientation: 'h', yref: 'container', y: 0, yanchor: 'bottom', x: 0}};
}
const options = {responsive: true, displaylogo: false, modeBarButtonsToRemove: ['select2d', 'lasso2d']};
const draw = () => figures.forEach((one, i) => Plotly.react('plot-' + i, one.data, layout(one.layout), options));
draw();
dark.addEventListener('change', draw);
document.querySelectorAll('input[type=search]').forEach(box => box.addEventListener('input', () =>
  box.parentElement.querySelectorAll('tr').forEach(row =>
    row.hidden = !row.textContent.toLowerCase().includes(box.value.toLowerCase()))));
"""  # noqa: E501
