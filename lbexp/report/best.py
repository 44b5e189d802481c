"""Which configuration of a sweep or a search is best, and how the final metric depends on each
number that was varied."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp import inference, results
from lbexp.analysis import Figure, Series, interval
from lbexp.report import curves, table
from lbexp.results.metrics import deciding, is_lower_better

FIGURES = 6  # numbers that are drawn
_SPAN = 8  # a number whose values span more than this factor has a logarithmic axis


class Configuration(NamedTuple):
    """What trials that differ in their seeds alone share, and their final metric."""

    words: str  # what tells it from the others: 'learning_rate 0.1'
    places: list[int]  # of its trials
    trials: int  # that did not diverge
    median: float  # of the metric over these
    low: float  # ends of its interval; NaN: one trial
    high: float


class Comparison(NamedTuple):
    """The configurations of a sweep by one metric, the best first; those without a value last."""

    metric: str
    ranked: list[Configuration]


def comparison(finals: results.Columns, target: str | None = None) -> Comparison | None:
    """The configurations by what decides (`metrics.deciding`); None: there are not two of them, or
    a study tagged its trials, which has an answer of its own, or nothing was measured.

    A trial that diverged has no value. A configuration of which half the trials diverged or more
    has none, whatever the others reached: who chooses it gets such a run.

    Args:
        finals: columns of `results.final`.
        target: the metric of the workload's target.
    """
    metric = deciding(results.numeric(finals), target)
    if metric is None or results.tags(finals):
        return None
    groups, _ = table.configurations(finals, curves.compared(finals))
    if len(groups) < 2:
        return None
    words = curves.configurations(finals, [places[0] for places in groups.values()])
    ranked = []
    for name, places in zip(words, groups.values(), strict=True):
        ranked.append(_configuration(finals, metric, name, places))
    if all(math.isnan(each.median) for each in ranked):
        return None
    ranked.sort(key=_rank(metric))
    return Comparison(metric, ranked)


def _configuration(finals, metric, words, places):
    is_sound = finals['status'][places] != 'diverged'
    values = finals[metric][places]
    sound = values[is_sound & np.isfinite(values)]
    # The median of those that are left would be that of the lucky half.
    if 2 * len(sound) <= len(places):
        return Configuration(words, places, len(sound), math.nan, math.nan, math.nan)
    return Configuration(words, places, len(sound), *interval(sound))


def _rank(metric):
    sign = 1 if is_lower_better(metric) else -1

    def rank(configuration):
        if math.isnan(configuration.median):
            return math.inf
        return sign * configuration.median

    return rank


def answer(finals: results.Columns, compared: Comparison | None) -> str:
    """The best configuration with its interval over seeds, what comes next, and whether the best
    lies at an edge of what was tried; '': nothing was compared.

    'Best of 4 configurations by test accuracy: learning_rate 0.3, median 0.982 [0.981, 0.983] over
    6 seeds. Next: ...'
    """
    if compared is None:
        return ''
    best, *others = compared.ranked
    name = compared.metric.replace('_', ' ')
    sentences = [
        f'Best of {len(compared.ranked)} configurations by {name}: {best.words or "none"}, '
        f'{_shown(best)}.',
        _next(best, others[0]),
        *_edges(finals, best),
    ]
    return ' '.join(sentences)


def _shown(configuration):
    """The median with its interval, of a few trials their range, and over how many."""
    count, (low, high) = configuration.trials, (configuration.low, configuration.high)
    text = f'{configuration.median:.4g}'
    if math.isnan(low):
        return f'{text} (one trial: no interval)'
    if count < inference.LEAST_PAIRS:
        return f'median {text} (from {low:.4g} to {high:.4g}) over {count} trials'
    return f'median {text} [{low:.4g}, {high:.4g}] over {count} trials'


def _next(best, second):
    """How the second compares."""
    if math.isnan(second.median):
        return 'No other has a result.'
    text = f'Next: {second.words or "none"}, {_shown(second)}'
    if math.isnan(best.low) or math.isnan(second.low):
        return f'{text}.'
    if best.low <= second.high and second.low <= best.high:
        return f'{text}; the two overlap: these trials do not tell them apart.'
    return f'{text}; the two do not overlap.'


def _edges(finals, best):
    """A sentence for each number whose best value is the outermost tried."""
    names = curves.shortened(curves.compared(finals))
    sentences = []
    for key, name in names.items():
        values = numbers(finals[key])
        tried = np.unique(values[np.isfinite(values)])
        value = values[best.places[0]]
        # A number that had one value was not varied: it has no edge.
        if len(tried) < 2 or value not in (tried[0], tried[-1]):
            continue
        end = 'smallest' if value == tried[0] else 'largest'
        sentences.append(
            f'At the edge: {name} {value:.5g} is the {end} that was tried, and what lies beyond '
            'may be better.'
        )
    return sentences


def numbers(column: np.ndarray) -> np.ndarray:
    """A column as float64; NaN for what is no number."""
    values = np.full(len(column), np.nan)
    for place, value in enumerate(column.tolist()):
        # True is an int to Python; a reader would not have it on an axis of numbers.
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            values[place] = value
    return values


def figures(finals: results.Columns, compared: Comparison | None) -> list[Figure]:
    """The final metric against each number that was varied: a point for each configuration,
    coloured by another such number where there is one."""
    if compared is None:
        return []
    varied = {}
    for key in curves.compared(finals):
        values = numbers(finals[key])
        if len(np.unique(values[np.isfinite(values)])) > 1:
            varied[key] = values
    short = curves.shortened(list(varied))
    drawn = []
    for key in list(varied)[:FIGURES]:
        others = [other for other in varied if other != key]
        drawn.append(_figure(compared, varied, short, key, others))
    return drawn


def _figure(compared, varied, short, key, others):
    colours = varied[others[0]] if others else None
    drawable = []
    for each in compared.ranked:
        if not math.isnan(each.median) and not math.isnan(varied[key][each.places[0]]):
            drawable.append(each)
    series = []
    for each in _thinned(drawable):
        x = varied[key][each.places[0]]
        low, high = each.low, each.high
        value = None if colours is None else float(colours[each.places[0]])
        group = each.words if others else short[key]
        ends = [each.median if math.isnan(end) else end for end in (low, high)]
        series.append(
            Series(each.words, [x], [each.median], [ends[0]], [ends[1]], 'points', group, value)
        )
    metric = compared.metric.replace('_', ' ')
    title = f'{metric[0].upper()}{metric[1:]} by {short[key]}'
    caption = (
        'Final values: medians of the trials that did not diverge, with their intervals, one point '
        'for each configuration.'
    )
    if len(series) < len(drawable):
        caption += f' {len(series)} of {len(drawable)} are drawn, at evenly spaced ranks.'
    drawing = Figure(
        f'final_{short[key]}',
        title,
        short[key],
        metric,
        series,
        x_scale=scale([one.x[0] for one in series]),
        caption=caption,
    )
    if others:
        drawing = drawing._replace(colour_label=short[others[0]])
    return drawing


def _thinned(ranked):
    """The configurations to draw: all, or those at evenly spaced ranks, with the best and the
    worst."""
    if len(ranked) <= curves.LINES:
        return ranked
    ranks = np.linspace(0, len(ranked) - 1, curves.LINES).round().astype(int)
    return [ranked[rank] for rank in ranks.tolist()]


def scale(values: Sequence[float]) -> str:
    """Of an axis: logarithmic where all are positive and span more than _SPAN."""
    if len(values) and min(values) > 0 and max(values) > _SPAN * min(values):
        return 'log'
    return 'linear'
