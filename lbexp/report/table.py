"""The closing table: final metrics of every configuration, median and interval over its seeds."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lbexp import results
from lbexp.analysis import Table, interval
from lbexp.report import curves
from lbexp.results.metrics import headline

if TYPE_CHECKING:
    from rich.console import Console

LONGEST = 48  # characters of what a configuration sets, in a cell


def table(
    finals: results.Columns, metrics: Sequence[str] | None = None, confidence: float = 0.95
) -> Table:
    """An `analysis.Table`: a row for each configuration (all that varies but the seed), in order of
    appearance.

    A cell reads 'median [low, high]' over the trials that did not diverge. A diverged trial has no
    final value: it is counted in the column 'trials', never averaged in.

    Args:
        finals: columns of `results.final`.
        metrics: names; None: those of loss, accuracy, test_loss, test_accuracy that were recorded.
        confidence: of the interval, in (0, 1).
    """
    keys = [name for name in results.varied(finals) if name != 'seed']
    known = [name for name in results.measured(finals) if finals[name].dtype != object]
    metrics = [name for name in headline() if name in known] if metrics is None else list(metrics)
    groups, repeated = _groups(finals, keys)
    short = curves.shortened(keys)
    rows = [
        [*map(setting, values), _count(finals['status'][places])]
        for values, places in groups.items()
    ]
    for metric in metrics:
        intervals = []
        for places in groups.values():
            diverged = finals['status'][places] == 'diverged'
            intervals.append(interval(finals[metric][places][~diverged], confidence))
        for row, cell in zip(rows, _column(intervals), strict=True):
            row.append(cell)
    columns = [short[key] for key in keys]
    columns += ['trials', *(name.replace('_', ' ') for name in metrics)]
    caption = _caption(confidence, groups)
    if repeated:
        caption += (
            f' {repeated} trials repeat the configuration and seed of another, which is '
            'counted once.'
        )
    return Table('Final metrics', columns, rows, caption)


def _groups(finals, keys):
    """{configuration: places of its trials}, and how many are left out: the same seed again is no
    second sample."""
    groups, seen, repeated = {}, set(), 0
    seeds = finals.get('seed')
    for place in range(len(finals['trial'])):
        texts = tuple(curves.text(finals[key][place]) for key in keys)
        seed = '' if seeds is None else curves.text(seeds[place])
        known = any(text not in ('None', '–') for text in (*texts, seed) if text)
        if known and (texts, seed) in seen:
            repeated += 1
            continue
        seen.add((texts, seed))
        groups.setdefault(texts, []).append(place)
    return {texts: np.array(places) for texts, places in groups.items()}, repeated


def setting(value: Any) -> str:
    """What a configuration sets, for a cell: parts (dicts with a name) by their names, a dash where
    nothing is set."""
    text = curves.text(value)
    if text in ('None', '[]', '{}'):
        return '–'
    if text.startswith(('{', '[{')):
        text = _names(text)
    return text if len(text) <= LONGEST else f'{text[: LONGEST - 1]}…'


def _names(text):
    """The names of the parts that JSON text holds; other text as it is."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    names = []
    for part in content if isinstance(content, list) else [content]:
        names.append(str(part.get('name', part) if isinstance(part, dict) else part))
    return ', '.join(names)


def show(content: Table, console: 'Console | None' = None):
    """Prints an `analysis.Table` in the terminal; where it is too wide, intervals go below their
    medians."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    console = console or Console()
    cells = [list(map(curves.text, row)) for row in content.rows]
    columns = [str(name) for name in content.columns]
    widths = [max(map(len, column)) + 2 for column in zip(columns, *cells, strict=True)]
    if sum(widths) > console.width:
        cells = [list(map(_broken, row)) for row in cells]
        columns = [name.replace('_', ' ') for name in columns]
    grid = Grid(
        title=Text(content.title), box=box.SIMPLE_HEAD, title_justify='left', caption_justify='left'
    )
    grid.pad_edge, grid.show_edge, grid.collapse_padding = False, False, True
    for column in columns:
        grid.add_column(Text(column), justify='right', overflow='fold')
    for row in cells:
        grid.add_row(*map(Text, row))
    console.print(grid)
    if content.caption:
        console.print(Text(content.caption), style='dim')


def _broken(cell):
    """An interval, or what stands in brackets, below its number."""
    return cell.replace(' [', '\n[').replace(' (', '\n(')


def _column(intervals):
    """Medians and intervals of a column as text, all with the decimals that the narrowest interval
    needs."""
    widths = [high - low for _, low, high in intervals if math.isfinite(high - low) and high > low]
    sizes = np.abs([number for ends in intervals for number in ends if math.isfinite(number)])
    form = '.4g'
    if widths and 1e-3 <= sizes.max() < 1e5:
        # two figures of the narrowest, four decimals at most
        decimals = 1 - math.floor(math.log10(min(widths)))
        form = f'.{min(4, max(0, decimals))}f'
    return [_cell(ends, form) for ends in intervals]


def _cell(ends, form):
    median, low, high = ends
    if math.isnan(median):
        return '–'
    if math.isnan(low):
        return f'{median:{form}}'
    return f'{median:{form}} [{low:{form}}, {high:{form}}]'


def _count(statuses):
    """'4', or '3 of 4 (1 diverged)'."""
    other = {
        name: int(np.sum(statuses == name))
        for name in dict.fromkeys(statuses)
        if name not in ('done', 'unknown')
    }
    left = len(statuses) - other.get('diverged', 0)
    notes = ', '.join(f'{number} {name}' for name, number in other.items())
    return f'{left} of {len(statuses)} ({notes})' if other else str(len(statuses))


def _caption(confidence, groups):
    if all(len(places) == 1 for places in groups.values()):
        return 'Values of the last row; one trial a configuration, so no interval.'
    return (
        f'Median [{confidence:.0%} bootstrap interval of the median] over the trials of a '
        'configuration; of two '
        'values the range. Diverged trials are counted, not averaged in.'
    )
