"""The closing table: final metrics of every configuration, median and interval over its seeds."""

import json
import math

import numpy as np

from lbexp import results
from lbexp.analysis import Table, interval
from lbexp.report import curves

LONGEST = 48  # characters of what a configuration sets, in a cell
HEADLINE = ('loss', 'accuracy', 'test_loss', 'test_accuracy')


def table(finals, metrics=None, confidence=0.95):
    """An `analysis.Table`: a row for each configuration (all that varies but the seed), in order of
    appearance.

    A cell reads 'median [low, high]' over the trials that did not diverge. A diverged trial has no final
    value: it is counted in the column 'trials', never averaged in.

    Args:
        finals: columns of `results.final`.
        metrics: names; None: those of loss, accuracy, test_loss, test_accuracy that were recorded.
        confidence: of the interval, in (0, 1).
    """
    keys = [name for name in results.varied(finals) if name != 'seed']
    known = [name for name in results.measured(finals) if finals[name].dtype != object]
    metrics = [name for name in HEADLINE if name in known] if metrics is None else list(metrics)
    groups = {}
    for place in range(len(finals['trial'])):
        groups.setdefault(tuple(curves.text(finals[key][place]) for key in keys), []).append(place)
    short = curves.shortened(keys)
    sound = [
        np.array([place for place in places if finals['status'][place] != 'diverged'], int)
        for places in groups.values()
    ]
    cells = [_column([interval(finals[metric][places], confidence) for places in sound]) for metric in metrics]
    rows = [
        [*map(setting, values), _count(finals['status'][places]), *row]
        for (values, places), row in zip(groups.items(), zip(*cells) if cells else [()] * len(groups))
    ]
    columns = [*(short[key] for key in keys), 'trials', *(name.replace('_', ' ') for name in metrics)]
    return Table('Final metrics', columns, rows, _caption(confidence, groups))


def setting(value):
    """What a configuration sets, for a cell: parts (dicts with a name) by their names, a dash where nothing is set."""
    text = curves.text(value)
    if text in ('None', '[]', '{}'):
        return '–'
    if text.startswith(('{', '[{')):
        parts = json.loads(text)
        text = ', '.join(str(part.get('name', part)) for part in (parts if isinstance(parts, list) else [parts]))
    return text if len(text) <= LONGEST else f'{text[: LONGEST - 1]}…'


def show(content, console=None):
    """Prints an `analysis.Table` in the terminal; where it is too wide, intervals go below their medians."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    console = console or Console()
    cells = [[curves.text(cell) for cell in row] for row in content.rows]
    columns = [str(name) for name in content.columns]
    widths = [max(map(len, column)) + 2 for column in zip(columns, *cells)]
    if sum(widths) > console.width:
        cells = [[cell.replace(' [', '\n[').replace(' (', '\n(') for cell in row] for row in cells]
        columns = [name.replace('_', ' ') for name in columns]
    grid = Grid(title=Text(content.title), box=box.SIMPLE_HEAD, title_justify='left', caption_justify='left')
    grid.pad_edge, grid.show_edge, grid.collapse_padding = False, False, True
    for column in columns:
        grid.add_column(Text(column), justify='right', overflow='fold')
    for row in cells:
        grid.add_row(*map(Text, row))
    console.print(grid)
    if content.caption:
        console.print(Text(content.caption), style='dim')


def _column(intervals):
    """Medians and intervals of a column as text, all with the decimals that the narrowest interval needs."""
    widths = [high - low for _, low, high in intervals if high > low]
    sizes = [abs(number) for one in intervals for number in one if math.isfinite(number)]
    plain = bool(widths) and 1e-3 <= max(sizes) < 1e5
    form = f'.{min(4, max(0, 1 - math.floor(math.log10(min(widths)))))}f' if plain else '.4g'
    return [_cell(*one, form) for one in intervals]


def _cell(median, low, high, form):
    if math.isnan(median):
        return '–'
    return f'{median:{form}}' if math.isnan(low) else f'{median:{form}} [{low:{form}}, {high:{form}}]'


def _count(statuses):
    """'4', or '3 of 4 (1 diverged)'."""
    other = {name: int(np.sum(statuses == name)) for name in dict.fromkeys(statuses) if name not in ('done', 'unknown')}
    left = len(statuses) - other.get('diverged', 0)
    notes = ', '.join(f'{number} {name}' for name, number in other.items())
    return f'{left} of {len(statuses)} ({notes})' if other else str(len(statuses))


def _caption(confidence, groups):
    if all(len(places) == 1 for places in groups.values()):
        return 'Values of the last row; one trial a configuration, so no interval.'
    return (
        f'Median [{confidence:.0%} bootstrap interval of the median] over the trials of a configuration; of two '
        'values the range. Diverged trials are counted, not averaged in.'
    )
