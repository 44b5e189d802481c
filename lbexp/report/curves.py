"""Rows of metrics as the standard figures: one for each metric, a curve for every trial."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import Figure, Series
from lbexp.results.metrics import COUNTS, PROGRESS, first_figures, headline

OTHERS = 8  # metrics drawn beyond those of every run; a probe may add dozens, which are in the rows
LINES = 160  # trials drawn in one figure
POINTS = 3000  # points drawn in one figure


# tags by which the curves of a study are grouped
GROUPS = ('arm', 'case')


class _Curve(NamedTuple):
    """Where the values of one metric of one trial are in the rows."""

    trial: int  # its place among the trials, not its number
    finite: np.ndarray  # rows whose value is finite, at least one
    end: int  # past the trial's last row


class Grouping(NamedTuple):
    """What the curves of each trial share with others."""

    names: list[str]  # of each trial's group; '': there is one
    values: list[float | None]  # the number in which the groups differ; None: in other things


def curves(rows: results.Columns, x: str = 'step', target: str | None = None) -> list[Figure]:
    """Figures of metrics against `x`, trials coloured by arm and case where a study tagged them,
    else by configuration (all that varies but the seed); where configurations differ in one number,
    by that number.

    Drawn are the metrics that every run has and OTHERS more. What is not drawn of these is said in
    the caption: of many trials those at evenly spaced ranks of the last value, the best and the
    worst among them; of many rows the lowest and the highest of each stretch, so no spike is lost.
    A cross marks the last finite value of a trial whose loss was not finite afterwards.

    Args:
        rows: columns of `results.read`.
        x: 'step', 'examples', 'epoch' or 'wall_time' (s).
        target: the metric of the workload's target, which comes first.
    """
    bounds = _bounds(rows)
    groups = grouping(rows, [first for first, _ in bounds])
    numeric = results.numeric(rows)
    metrics = [name for name in first_figures(target) if name in numeric]
    others = [name for name in numeric if name not in (*metrics, *PROGRESS)]
    # what a workload adds comes before what probes do
    others.sort(key=lambda name: name not in headline(numeric))
    figures = []
    for metric in metrics + others[:OTHERS]:
        drawing = _figure(rows, bounds, groups, x, metric)
        if drawing.series:
            figures.append(drawing)
    return figures


def compared(columns: results.Columns) -> list[str]:
    """Names of what varies but the seed: trials that share it all are of one configuration."""
    names = results.varied(columns)
    if 'seed' in names:
        names.remove('seed')
    return names


def configurations(columns: results.Columns, places: Sequence[int]) -> list[str]:
    """The configuration, in words, of the trials at these places: 'lamb, learning_rate 0.1,
    b1 0.9', without the seed; 'none' of a trial that has nothing where others have something.

    A name's last part serves where that is unambiguous in the trial; a part's name needs no more
    than itself. What a trial does not have, and lists, are left out; so is what follows from the
    rest, such as a microbatch that goes with the batch size.
    """
    keys = _telling_apart(columns, places)
    texts = [_in_words(columns, keys, place) for place in places]
    if any(texts):
        return [words or 'none' for words in texts]
    return texts


def _telling_apart(columns, places):
    """Those of the compared settings that tell these trials apart, names of parts first."""
    keys = compared(columns)
    keys.sort(key=lambda key: _last_part(key) != 'name')
    chosen, seen = [], 1
    cells = [()] * len(places)
    for key in keys:
        longer = []
        for cell, place in zip(cells, places, strict=True):
            longer.append((*cell, text(columns[key][place])))
        if len(set(longer)) > seen or len(places) == 1:
            chosen.append(key)
            cells, seen = longer, len(set(longer))
    return [key for key in compared(columns) if key in chosen]


def grouping(rows: results.Columns, places: Sequence[int]) -> Grouping:
    """The groups of the trials at these places: by arm and case where a study tagged its trials so,
    else by configuration."""
    tags = [name for name in GROUPS if name in results.tags(rows)]
    if 'arm' in tags:
        names = []
        for place in places:
            said = [text(rows[name][place]) for name in tags if rows[name][place] is not None]
            names.append(', '.join(said) or 'none')
        return Grouping(names, [None] * len(names))
    keys = _telling_apart(rows, places)
    values: list[float | None] = [None] * len(places)
    if len(keys) == 1 and np.issubdtype(rows[keys[0]].dtype, np.number):
        values = [float(rows[keys[0]][place]) for place in places]
    return Grouping(configurations(rows, places), values)


def _in_words(columns, keys, place):
    telling = [key for key in keys if _is_telling(columns[key][place])]
    words = []
    for key, name in shortened(telling).items():
        value = text(columns[key][place])
        if _last_part(key) == 'name':
            words.append(value)
        else:
            words.append(f'{name} {value}')
    return ', '.join(words)


def _is_telling(value):
    """Whether a setting is there, and a word or two say it."""
    if value is None or _is_nan(value) or isinstance(value, (list, tuple, np.ndarray)):
        return False
    # in a column lists and parts are JSON text
    return not str(value).startswith(('[', '{'))


def shortened(names: Sequence[str]) -> dict[str, str]:
    """{'optimizer.learning_rate': 'learning_rate'} where no other name ends like that."""
    tails = list(map(_last_part, names))
    short = dict(zip(names, tails, strict=True))
    for name, tail in short.items():
        if tails.count(tail) > 1:
            short[name] = name
    return short


def _last_part(name):
    return name.rpartition('.')[2]


def text(value: Any) -> str:
    """A value as a person writes it: five figures, no trailing zeros."""
    if _is_nan(value):
        return '–'
    if isinstance(value, (float, np.floating)):
        return f'{value:.5g}'
    return str(value)


def _is_nan(value):
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _bounds(rows):
    """[first, past the last) row of each trial; rows are sorted by workdir and trial."""
    count = len(rows['trial'])
    if not count:
        return []
    new = (rows['trial'][1:] != rows['trial'][:-1]) | (rows['workdir'][1:] != rows['workdir'][:-1])
    edges = [0, *(np.flatnonzero(new) + 1).tolist(), count]
    return list(itertools.pairwise(edges))


def _figure(rows, bounds, groups, x, metric):
    """One metric of all trials; no series when it was never finite."""
    values = rows[metric]
    available = _available(values, bounds)
    drawn = _chosen([float(values[curve.finite[-1]]) for curve in available])
    budget = max(2, POINTS // max(1, len(drawn)))
    is_thinned = False
    series, ends = [], []
    for place in drawn:
        curve = available[place]
        shown = _thinned(values, curve.finite, budget)
        is_thinned |= len(shown) < len(curve.finite)
        last = curve.finite[-1]
        label = _label(rows, last)
        group, value = groups.names[curve.trial] or None, groups.values[curve.trial]
        series.append(Series(label, rows[x][shown], values[shown], group=group, value=value))
        if _diverged(rows, last, curve.end):
            ends.append(last)
    if any(groups.names):
        # the legend has the order of the trials, whichever of them are drawn
        order = dict(zip(dict.fromkeys(groups.names), itertools.count()))
        series.sort(key=lambda curve: order[curve.group])
    if ends:
        series.append(Series('diverged', rows[x][ends], values[ends], style='points'))
    words = metric.replace('_', ' ').strip() or repr(metric)
    title = words[0].upper() + words[1:]
    scale = _y_scale(metric, series)
    caption = _caption(len(drawn), len(available), is_thinned, budget)
    return Figure(metric, title, COUNTS[x], words, series, y_scale=scale, caption=caption)


def _available(values, bounds):
    """The trials that have a finite value."""
    is_finite = np.isfinite(values)
    available = []
    for trial, (first, end) in enumerate(bounds):
        finite = first + np.flatnonzero(is_finite[first:end])
        if len(finite):
            available.append(_Curve(trial, finite, end))
    return available


def _chosen(last):
    """Which trials to draw: all, or those at evenly spaced ranks of their last value; in their
    order."""
    if len(last) <= LINES:
        return range(len(last))
    ranks = np.linspace(0, len(last) - 1, LINES).round().astype(int)
    by_rank = np.argsort(last, kind='stable')
    return sorted(by_rank[ranks].tolist())


def _thinned(values, places, budget):
    """Rows to draw: all, or the first, the last and the extremes of evenly long stretches."""
    if len(places) <= budget:
        return places
    shown = [places[0], places[-1]]
    for stretch in np.array_split(places, max(1, (budget - 2) // 2)):
        lowest = stretch[values[stretch].argmin()]
        highest = stretch[values[stretch].argmax()]
        shown += [lowest, highest]
    return np.unique(shown)


def _diverged(rows, last_finite, end):
    """Whether the loss is not finite somewhere from this metric's last finite row on."""
    loss = rows.get('loss')
    if loss is None or loss.dtype == object:
        return False
    return not np.isfinite(loss[last_finite:end]).all()


def _label(rows, place):
    """A trial in the words of a label: its number and all that varies."""
    words = [f'trial {rows["trial"][place]}']
    for key, name in shortened(results.varied(rows)).items():
        words.append(f'{name} {text(rows[key][place])}')
    return ', '.join(words)


def _y_scale(metric, series):
    """Logarithmic where values are positive and span more than a factor of 20."""
    if 'accuracy' in metric or not series:
        return 'linear'
    values = [curve.y for curve in series]
    if metric == 'learning_rate':
        # A schedule ends near zero: what counts is how far apart the trials are.
        values = list(map(np.max, values))
    values = np.hstack(values)
    if values.min() > 0 and values.max() > 20 * values.min():
        return 'log'
    return 'linear'


def _caption(drawn, trials, is_thinned, budget):
    sentences = []
    if drawn < trials:
        sentences.append(
            f'{drawn} of {trials} trials are drawn, at evenly spaced ranks of their last value.'
        )
    if is_thinned:
        sentences.append(
            f'At most {budget} rows of a trial are drawn: the lowest and the highest of '
            'each stretch.'
        )
    return ' '.join(sentences)
