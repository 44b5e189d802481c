"""Rows of metrics as the standard figures: one for each metric, a curve for every trial."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from lbexp import results
from lbexp.analysis import Figure, Series
from lbexp.results.metrics import COUNTS, first_figures

OTHERS = 8  # metrics drawn beyond those of every run; a probe may add dozens, which are in the rows
LINES = 160  # trials drawn in one figure
POINTS = 8000  # points drawn in one figure


def curves(rows: results.Columns, x: str = 'step') -> list[Figure]:
    """Figures of metrics against `x`, trials coloured by configuration (all that varies but the
    seed).

    Drawn are the metrics that every run has and OTHERS more. What is not drawn of these is said in
    the caption: of many trials those at evenly spaced ranks of the last value, the best and the
    worst among them; of many rows the lowest and the highest of each stretch, so no spike is lost.
    A cross marks the last finite value of a trial whose loss was not finite afterwards.

    Args:
        rows: columns of `results.read`.
        x: 'step', 'examples', 'epoch' or 'wall_time' (s).
    """
    bounds = _bounds(rows)
    names = configurations(rows, [first for first, _ in bounds])
    metrics = [
        name for name in results.measured(rows) if name not in COUNTS and rows[name].dtype != object
    ]
    first = [name for name in first_figures() if name in metrics]
    others = [name for name in metrics if name not in first]
    figures = [_figure(rows, bounds, names, x, metric) for metric in [*first, *others[:OTHERS]]]
    return [drawing for drawing in figures if drawing.series]


def configurations(columns: results.Columns, places: Sequence[int]) -> list[str]:
    """The configuration, in words, of the trials at these places: 'lamb, learning_rate 0.1,
    b1 0.9', without the seed; 'none' of a trial that has nothing where others have something.

    A name's last part serves where that is unambiguous in the trial; a part's name needs no more
    than itself. What a trial does not have, and lists, are left out.
    """
    keys = [name for name in results.varied(columns) if name != 'seed']
    texts = [_in_words(columns, keys, place) for place in places]
    return [text or 'none' for text in texts] if any(texts) else texts


def _in_words(columns, keys, place):
    short = shortened([key for key in keys if _telling(columns[key][place])])
    words = []
    for key, name in short.items():
        value = text(columns[key][place])
        words.append(value if key.rpartition('.')[2] == 'name' else f'{name} {value}')
    return ', '.join(words)


def _telling(value):
    absent = value is None or (isinstance(value, (float, np.floating)) and np.isnan(value))
    return (
        not absent
        and not isinstance(value, (list, tuple, np.ndarray))
        and not str(value).startswith(('[', '{'))
    )


def shortened(names: Sequence[str]) -> dict[str, str]:
    """{'optimizer.learning_rate': 'learning_rate'} where no other name ends like that."""
    tails = [name.rsplit('.', 1)[-1] for name in names]
    pairs = zip(names, tails, strict=True)
    return {name: tail if tails.count(tail) == 1 else name for name, tail in pairs}


def text(value: Any) -> str:
    """A value as a person writes it: five figures, no trailing zeros."""
    if not isinstance(value, (float, np.floating)):
        return str(value)
    return '–' if np.isnan(value) else f'{value:.5g}'


def _bounds(rows):
    """[first, past the last) row of each trial; rows are sorted by workdir and trial."""
    count = len(rows['trial'])
    if not count:
        return []
    new = (rows['trial'][1:] != rows['trial'][:-1]) | (rows['workdir'][1:] != rows['workdir'][:-1])
    edges = [0, *(np.flatnonzero(new) + 1).tolist(), count]
    return list(itertools.pairwise(edges))


def _figure(rows, bounds, names, x, metric):
    """One metric of all trials; no series when it was never finite."""
    finite = np.isfinite(rows[metric])
    spans = []  # (number of the trial, its finite rows, past its last row)
    for trial, (first, last) in enumerate(bounds):
        places = first + np.flatnonzero(finite[first:last])
        if len(places):
            spans.append((trial, places, last))
    chosen = _chosen([float(rows[metric][places[-1]]) for _, places, _ in spans])
    budget = max(2, POINTS // max(1, len(chosen)))
    series, ends, thinned = [], [], False
    for trial, places, last in (spans[i] for i in chosen):
        shown = _thinned(rows[metric], places, budget)
        thinned |= len(shown) < len(places)
        name, group = _name(rows, places[0]), names[trial] or None
        series.append(Series(name, rows[x][shown], rows[metric][shown], group=group))
        if _stopped(rows, places[-1], last):
            ends.append(places[-1])
    if any(names):
        order = {name: number for number, name in enumerate(dict.fromkeys(names))}
        series.sort(key=lambda drawn: order[drawn.group])
    if ends:
        series.append(Series('diverged', rows[x][ends], rows[metric][ends], style='points'))
    words = metric.replace('_', ' ').strip() or repr(metric)
    caption = _caption(len(chosen), len(spans), thinned, budget)
    title, scale = words[0].upper() + words[1:], _y_scale(metric, series)
    return Figure(metric, title, COUNTS[x], words, series, y_scale=scale, caption=caption)


def _y_scale(metric, series):
    if 'accuracy' in metric or not series:
        return 'linear'
    # a schedule ends near zero: what counts is how far apart the trials are
    peaks = metric == 'learning_rate'
    return _scale(np.concatenate([[np.max(s.y)] if peaks else s.y for s in series]))


def _chosen(last):
    """Which trials to draw: all, or those at evenly spaced ranks of their last value; in their
    order."""
    if len(last) <= LINES:
        return range(len(last))
    ranks = np.linspace(0, len(last) - 1, LINES).round().astype(int)
    return sorted(np.argsort(last, kind='stable')[ranks].tolist())


def _thinned(values, places, budget):
    """Rows to draw: all, or the first, the last and the extremes of evenly long stretches."""
    if len(places) <= budget:
        return places
    shown = {int(places[0]), int(places[-1])}
    for stretch in np.array_split(places, max(1, (budget - 2) // 2)):
        shown |= {int(stretch[values[stretch].argmin()]), int(stretch[values[stretch].argmax()])}
    return np.array(sorted(shown))


def _stopped(rows, last_finite, last):
    """Whether the loss is not finite somewhere after this metric's last finite row: the trial
    diverged."""
    loss = rows.get('loss')
    if loss is None or loss.dtype == object:
        return False
    return bool(np.any(~np.isfinite(loss[last_finite:last])))


def _name(rows, place):
    """A trial in the words of a label: its number and all that varies."""
    short = shortened(results.varied(rows))
    settings = [f'{name} {text(rows[key][place])}' for key, name in short.items()]
    return ', '.join([f'trial {rows["trial"][place]}', *settings])


def _scale(values):
    """Logarithmic where values are positive and span more than a factor of 20."""
    return 'log' if values.min() > 0 and values.max() > 20 * values.min() else 'linear'


def _caption(drawn, trials, thinned, budget):
    parts = []
    if drawn < trials:
        parts.append(
            f'{drawn} of {trials} trials are drawn, at evenly spaced ranks of their last value.'
        )
    if thinned:
        parts.append(
            f'At most {budget} rows of a trial are drawn: the lowest and the highest of '
            'each stretch.'
        )
    return ' '.join(parts)
