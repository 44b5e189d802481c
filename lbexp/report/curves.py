"""Rows of metrics as the standard figures: one for each metric, a curve for every trial."""

import itertools

import numpy as np

from lbexp import results
from lbexp.analysis import Figure, Series

COUNTS = ('step', 'examples', 'epoch', 'wall_time')  # how far a trial is: what to plot against
FIRST = (
    'loss',
    'test_loss',
    'accuracy',
    'test_accuracy',
    'learning_rate',
    'gradient_norm',
    'parameter_norm',
    'update_norm',
)
OTHERS = 8  # metrics drawn beyond FIRST; a probe may add dozens, which are in the rows
LINES = 160  # trials drawn in one figure
POINTS = 8000  # points drawn in one figure
LABELS = {
    'step': 'step (optimizer updates)',
    'epoch': 'epochs',
    'examples': 'examples',
    'wall_time': 'wall time (s)',
}


def curves(rows, x='step'):
    """Figures of metrics against `x`, trials coloured by configuration (all that varies but the
    seed).

    Drawn are the metrics in FIRST and OTHERS more. What is not drawn of these is said in the
    caption: of many trials those at evenly spaced ranks of the last value, the best and the worst
    among them; of many rows the lowest and the highest of each stretch, so no spike is lost. A
    cross marks the last finite value of a trial whose loss was not finite afterwards.

    Args:
        rows: columns of `results.read`.
        x: 'step', 'examples', 'epoch' or 'wall_time' (s).
    """
    bounds = _bounds(rows)
    names = configurations(rows, [first for first, _ in bounds])
    metrics = [
        name for name in results.measured(rows) if name not in COUNTS and rows[name].dtype != object
    ]
    chosen = [name for name in FIRST if name in metrics] + [
        name for name in metrics if name not in FIRST
    ][:OTHERS]
    drawn = (_figure(rows, bounds, names, x, metric) for metric in chosen)
    return [one for one in drawn if one.series]


def configurations(columns, at):
    """The configuration, in words, of the trials at the positions `at`: 'lamb, learning_rate 0.1,
    b1 0.9', without the seed; 'none' of a trial that has nothing where others have something.

    A name's last part serves where that is unambiguous in the trial; a part's name needs no more
    than itself. What a trial does not have, and lists, are left out.
    """
    keys = [name for name in results.varied(columns) if name != 'seed']

    def words(i):
        short = shortened([key for key in keys if _telling(columns[key][i])])
        said = lambda key: '' if key.rpartition('.')[2] == 'name' else f'{short[key]} '
        return ', '.join(f'{said(key)}{text(columns[key][i])}' for key in short)

    texts = [words(i) for i in at]
    return [text or 'none' for text in texts] if any(texts) else texts


def _telling(value):
    absent = value is None or (isinstance(value, (float, np.floating)) and np.isnan(value))
    return (
        not absent
        and not isinstance(value, (list, tuple, np.ndarray))
        and not str(value).startswith(('[', '{'))
    )


def shortened(names):
    """{'optimizer.learning_rate': 'learning_rate'} where no other name ends like that."""
    tails = [name.rsplit('.', 1)[-1] for name in names]
    return {name: tail if tails.count(tail) == 1 else name for name, tail in zip(names, tails)}


def text(value):
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
    spans = [
        (trial, first + np.flatnonzero(finite[first:last]), last)
        for trial, (first, last) in enumerate(bounds)
    ]
    spans = [(trial, at, last) for trial, at, last in spans if len(at)]
    chosen, thinned = _chosen([float(rows[metric][at[-1]]) for _, at, _ in spans]), False
    budget = max(2, POINTS // max(1, len(chosen)))
    series, ends = [], []
    for trial, at, last in (spans[i] for i in chosen):
        kept = _kept(rows[metric], at, budget)
        thinned |= len(kept) < len(at)
        series.append(
            Series(
                _name(rows, at[0]), rows[x][kept], rows[metric][kept], group=names[trial] or None
            )
        )
        if _stopped(rows, at[-1], last):
            ends.append(at[-1])
    if any(names):
        place = {name: number for number, name in enumerate(dict.fromkeys(names))}
        series.sort(key=lambda drawn: place[drawn.group])
    if ends:
        series.append(Series('diverged', rows[x][ends], rows[metric][ends], style='points'))
    words = metric.replace('_', ' ').strip() or repr(metric)
    # a schedule ends near zero: what counts is how far apart the trials are
    peaks = metric == 'learning_rate'
    levels = (
        np.concatenate([[np.max(one.y)] if peaks else one.y for one in series])
        if series
        else np.ones(1)
    )
    scale = 'linear' if 'accuracy' in metric else _scale(levels)
    return Figure(
        metric,
        words[0].upper() + words[1:],
        LABELS[x],
        words,
        series,
        y_scale=scale,
        caption=_caption(len(chosen), len(spans), thinned, budget),
    )


def _chosen(last):
    """Which trials to draw: all, or those at evenly spaced ranks of their last value; in their
    order."""
    if len(last) <= LINES:
        return range(len(last))
    ranks = np.linspace(0, len(last) - 1, LINES).round().astype(int)
    return sorted(np.argsort(last, kind='stable')[ranks].tolist())


def _kept(values, at, budget):
    """Rows to draw: all, or the first, the last and the extremes of evenly long stretches."""
    if len(at) <= budget:
        return at
    kept = {int(at[0]), int(at[-1])}
    for stretch in np.array_split(at, max(1, (budget - 2) // 2)):
        kept |= {int(stretch[values[stretch].argmin()]), int(stretch[values[stretch].argmax()])}
    return np.array(sorted(kept))


def _stopped(rows, last_finite, last):
    """Whether the loss is not finite somewhere after this metric's last finite row: the trial
    diverged."""
    loss = rows.get('loss')
    if loss is None or loss.dtype == object:
        return False
    return bool(np.any(~np.isfinite(loss[last_finite:last])))


def _name(rows, at):
    """A trial in the words of a label: its number and all that varies."""
    own = results.varied(rows)
    short = shortened(own)
    return ', '.join(
        [f'trial {rows["trial"][at]}', *(f'{short[key]} {text(rows[key][at])}' for key in own)]
    )


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
