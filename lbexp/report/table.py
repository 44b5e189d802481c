"""The closing table: final metrics of every configuration, median and interval over its seeds."""

import collections
import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lbexp import results
from lbexp.analysis import Table, interval
from lbexp.report import curves
from lbexp.results.metrics import deciding, headline, is_lower_better

if TYPE_CHECKING:
    from rich.console import Console

LONGEST = 48  # characters of what a configuration sets, in a cell
MOST = 500  # configurations in a table: with thousands a page would be mostly that


def table(
    finals: results.Columns,
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
    target: str | None = None,
) -> Table:
    """An `analysis.Table`: a row for each configuration (all that varies but the seed), in order of
    appearance; what was set, the metrics, how many trials. Of more than MOST those that are best.

    A cell reads 'median [low, high]' over the trials that did not diverge. A diverged trial has no
    final value: it is counted in the column 'trials', never averaged in.

    Args:
        finals: columns of `results.final`.
        metrics: names; None: `headline` of those that were recorded.
        confidence: of the interval, in (0, 1).
        target: the metric of the workload's target, which comes first.
    """
    keys = curves.compared(finals)
    if metrics is None:
        metrics = headline(results.numeric(finals), target)
    every, repeated = configurations(finals, keys)
    groups = _best(finals, every, target)
    rows = [list(map(setting, texts)) for texts in groups]
    for metric in metrics:
        cells = _column(finals[metric], finals['status'], groups.values(), confidence)
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell)
    for row, places in zip(rows, groups.values(), strict=True):
        row.append(_count(finals['status'][places]))
    columns = list(curves.shortened(keys).values())
    columns += [name.replace('_', ' ') for name in metrics]
    columns.append('trials')
    caption = _caption(confidence, groups)
    if repeated:
        caption += (
            f' {repeated} trials repeat the configuration and seed of another, which is '
            'counted once.'
        )
    if len(groups) < len(every):
        caption += (
            f' {len(groups)} of {len(every)} configurations, the best; all trials: python -m '
            'lbexp.results WORKDIR --csv=FILE'
        )
    return Table('Final metrics', columns, rows, caption)


def _best(finals, groups, target):
    """The configurations that a table holds, in their order: all, or those with the best medians of
    what decides (`metrics.deciding`)."""
    if len(groups) <= MOST:
        return groups
    metric = deciding(results.numeric(finals), target)
    medians = np.zeros(len(groups))  # where nothing decides: the first
    if metric is not None:
        sign = 1 if is_lower_better(metric) else -1
        for number, places in enumerate(groups.values()):
            is_over = finals['status'][places] != 'diverged'
            medians[number] = sign * interval(finals[metric][places][is_over])[0]
    # NaN, no result, comes last
    chosen = set(np.argsort(medians, kind='stable')[:MOST].tolist())
    best = {}
    for number, (texts, places) in enumerate(groups.items()):
        if number in chosen:
            best[texts] = places
    return best


def configurations(
    finals: results.Columns, keys: Sequence[str]
) -> tuple[dict[tuple[str, ...], list[int]], int]:
    """{configuration: places of its trials}, and how many are left out: the same seed again is no
    second sample.

    Args:
        keys: columns whose values make a configuration.
    """
    groups, seen, repeated = {}, set(), 0
    seeds = finals.get('seed')
    for place in range(len(finals['trial'])):
        texts = tuple(curves.text(finals[key][place]) for key in keys)
        seed = ''
        if seeds is not None:
            seed = curves.text(seeds[place])
        # Trials of which nothing is known are not one another's repetition.
        is_known = {*texts, seed} - {'', 'None', '–'}
        if is_known and (texts, seed) in seen:
            repeated += 1
            continue
        seen.add((texts, seed))
        groups.setdefault(texts, []).append(place)
    return groups, repeated


def setting(value: Any) -> str:
    """What a configuration sets, for a cell: parts (dicts with a name) by their names, a dash where
    nothing is set."""
    text = curves.text(value)
    if text in ('None', '[]', '{}'):
        return '–'
    if text.startswith(('{', '[{')):
        text = _names(text)
    if len(text) > LONGEST:
        return f'{text[: LONGEST - 1]}…'
    return text


def _names(text):
    """The names of the parts that JSON text holds; other text as it is."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return text
    parts = content if isinstance(content, list) else [content]
    names = []
    for part in parts:
        if isinstance(part, dict):
            part = part.get('name', part)
        names.append(str(part))
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
    columns = list(map(str, content.columns))
    widths = [max(map(len, column)) + 2 for column in zip(columns, *cells, strict=True)]
    if sum(widths) > console.width:
        cells = [list(map(_broken, row)) for row in cells]
        columns = [name.replace('_', ' ') for name in columns]
    # As Text: rich would read a name in brackets as markup.
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


def _column(values, statuses, groups, confidence):
    """Medians and intervals of a metric as text, all with the decimals that the narrowest interval
    needs."""
    intervals = []
    for places in groups:
        is_over = statuses[places] != 'diverged'
        intervals.append(interval(values[places][is_over], confidence))
    form = _form(np.array(intervals).reshape(-1, 3))
    return [_cell(*ends, form) for ends in intervals]


def _form(intervals):
    """The format of the numbers of a column: of all rows (median, low, high)."""
    sizes = np.abs(intervals[np.isfinite(intervals)])
    widths = intervals[:, 2] - intervals[:, 1]
    widths = widths[widths > 0]  # NaN, no interval, is not
    if not len(widths) or not 1e-3 <= sizes.max() < 1e5:
        return '.4g'
    # two figures of the narrowest, four decimals at most
    decimals = 1 - math.floor(math.log10(widths.min()))
    return f'.{min(4, max(0, decimals))}f'


def _cell(median, low, high, form):
    if math.isnan(median):
        return '–'
    if math.isnan(low):
        return f'{median:{form}}'
    return f'{median:{form}} [{low:{form}}, {high:{form}}]'


def tally(counts: Mapping[str, int]) -> str:
    """'3 done, 1 diverged'."""
    return ', '.join(f'{number} {name}' for name, number in counts.items())


def _count(statuses):
    """'4', or '3 of 4 (1 diverged)'."""
    total, counts = len(statuses), collections.Counter(statuses)
    left = total - counts['diverged']
    del counts['done'], counts['unknown']
    if not counts:
        return str(total)
    return f'{left} of {total} ({tally(counts)})'


def _caption(confidence, groups):
    if all(len(places) == 1 for places in groups.values()):
        return 'Values of the last row; one trial a configuration, so no interval.'
    return (
        f'Median [{confidence:.0%} interval of the median] over the trials of a configuration; of '
        'too few for one the range. Diverged trials are counted, not averaged in.'
    )
