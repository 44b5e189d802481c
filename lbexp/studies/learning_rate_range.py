"""In which range of learning rates does training make progress? One short run whose rate rises."""

import math
import pathlib
from typing import Literal, NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Figure, Series, Table, format_interval
from lbexp.config import plain
from lbexp.errors import Refusal
from lbexp.ranges import Positive, PositiveInteger
from lbexp.studies import Study, Trial
from lbexp.studies._comparison.arms import learning_rate
from lbexp.studies._seeds import moved

_WINDOW = 5  # rows of a running mean
_DRAWN = 2.0  # times the first loss: what lies higher is not drawn
_CAPTION = (
    f'Training loss while the learning rate rises, a running mean over {_WINDOW} rows, a curve for '
    f'each seed; what is above {_DRAWN:g} times the first loss is not drawn. Fastest: the steepest '
    'descent against the logarithm of the rate. Back: the loss is what it was at the beginning, or '
    'training diverged.'
)


def learning_rate_range(
    low: Positive = 1e-5,
    high: Positive = 10.0,
    seeds: PositiveInteger = 3,
    scale: Literal['log', 'linear'] = 'log',
) -> Study:
    """The learning-rate range test: trains for the configured length while the rate rises from low
    to high, and marks where the loss falls fastest, where it is lowest, and where it is back at its
    beginning. It replaces `schedule`, and the optimizer's learning rate.

    The numbers are a first guess for a search, no more: the loss at a rate is that of weights which
    lower rates have trained, and a long run at a constant rate is often stable only below the rate
    at which a short one diverges. A few hundred updates do, with about 100 rows.

    Args:
        low, high: rates at the beginning and at the end [as the optimizer has them], low < high.
        seeds: runs.
        scale: 'log': equal factors an update; 'linear': as in the paper.

    Smith 2017, arXiv:1506.01186, section 3.3.
    """
    if not low < high:
        raise Refusal(f'low, high: found {low}, {high}; allowed: low < high')

    def trials(config):
        path = learning_rate(plain(config.optimizer))
        # A schedule gives fractions of the optimizer's rate, which is the highest.
        schedule = {'name': 'rising', 'start': low / high, 'scale': scale}
        asked = []
        for seed in range(seeds):
            asked.append(Trial({'seed': seed, path: high, 'schedule': schedule}, {}))
        return moved(asked, config.seed)

    return Study(trials, _analyse)


class Marks(NamedTuple):
    """Learning rates of one run; NaN: the run has no such rate."""

    fastest: float  # the loss falls fastest against the logarithm of the rate
    lowest: float  # it is lowest
    back: float  # it is back at its first value, or training diverged


def marks(rates: np.ndarray, losses: np.ndarray, diverged: bool) -> Marks:
    """Where the loss falls fastest, is lowest, and is back at its beginning.

    Args:
        rates: [n] of each row, ascending.
        losses: [n] smoothed, finite.
        diverged: whether training ended behind the last row because the loss was no number.
    """
    if len(rates) < 2:
        return Marks(math.nan, math.nan, math.nan)
    lowest = int(np.argmin(losses))
    higher = np.flatnonzero(losses[lowest:] >= losses[0])
    back = math.nan
    if len(higher):
        back = float(rates[lowest + higher[0]])
    elif diverged:
        back = float(rates[-1])
    if lowest == 0:  # it never falls
        return Marks(math.nan, math.nan, back)
    slopes = np.gradient(losses, np.log(rates))[: lowest + 1]
    return Marks(float(rates[np.argmin(slopes)]), float(rates[lowest]), back)


def smoothed(losses: np.ndarray) -> np.ndarray:
    """The mean over _WINDOW neighbours, fewer at the ends: as many on both sides."""
    means = []
    for place in range(len(losses)):
        reach = min(_WINDOW // 2, place, len(losses) - 1 - place)
        means.append(np.mean(losses[place - reach : place + reach + 1]))
    return np.array(means)


def _analyse(workdir: pathlib.Path) -> Analysis:
    optimizer = results.part(workdir, 'optimizer')['name']
    finals, rows = results.final(workdir), results.read(workdir)
    curves, by_trial = [], []
    for trial, status in zip(finals['trial'].tolist(), finals['status'].tolist(), strict=True):
        is_finite = np.isfinite(rows['loss']) & (rows['trial'] == trial)
        rates = rows['learning_rate'][is_finite]
        losses = smoothed(rows['loss'][is_finite])
        curves.append((rates, losses))
        by_trial.append(marks(rates, losses, status == 'diverged'))
    columns = ['learning rate where the loss', 'median over seeds']
    cells = [
        ['falls fastest', format_interval([of.fastest for of in by_trial])],
        ['is lowest', format_interval([of.lowest for of in by_trial])],
        ['is back at its beginning, or diverged', format_interval([of.back for of in by_trial])],
    ]
    table = Table('Learning-rate range test', columns, cells, _CAPTION)
    title = f'Learning-rate range of {optimizer}'
    return Analysis(title, _verdict(by_trial, curves), [table], [_figure(curves, by_trial)])


def _verdict(by_trial, curves):
    fastest = np.array([of.fastest for of in by_trial])
    lowest = np.array([of.lowest for of in by_trial])
    if not np.isfinite(lowest).any():
        return 'The loss never falls: the range lies too high, or the run is too short.'
    words = (
        f'The loss falls fastest at a learning rate of {np.nanmedian(fastest):.2g} and is lowest '
        f'at {np.nanmedian(lowest):.2g}: search for the best between a tenth of the one and the '
        'other.'
    )
    ends = np.array([rates[-1] if len(rates) else np.nan for rates, _ in curves])
    if (lowest >= ends).any() and not np.isfinite([of.back for of in by_trial]).all():
        words += ' It is lowest at the end of the range, which should be wider.'
    return words


def _figure(curves, by_trial):
    series = []
    for rates, losses in curves:
        is_drawn = losses <= _DRAWN * losses[:1]
        drawn = np.where(is_drawn, losses, np.nan).tolist()
        series.append(Series('loss', rates.tolist(), drawn, group='loss'))
    names = ('falls fastest', 'is lowest', 'is back')
    for name, places in zip(names, zip(*by_trial, strict=True), strict=True):
        heights = []
        for (rates, losses), rate in zip(curves, places, strict=True):
            # NaN, no such rate, is not equal to itself.
            heights.append(float(np.interp(rate, rates, losses)) if rate == rate else math.nan)
        series.append(Series(name, list(places), heights, style='points'))
    title, labels = 'Loss while the rate rises', ('learning rate', 'training loss')
    return Figure('range_test', title, *labels, series, x_scale='log', caption=_CAPTION)
