"""Table, claims and figure of a network's weight variance beside the noisy quadratic's."""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from lbexp.analysis import (
    Claim,
    Figure,
    Series,
    Table,
    above,
    format_interval,
    interval,
    judged,
    within,
)
from lbexp.studies._comparison.compare import error_bars
from lbexp.studies._network.spectra import Setting


class Columns(NamedTuple):
    """Of a setting, by seed; NaN where a trial has no spectrum."""

    measured: np.ndarray  # variance of the weights, summed over all
    predicted: np.ndarray  # by the noisy quadratic; inf beyond its stability limit
    loss: np.ndarray
    drift: np.ndarray  # |z| of the loss
    sharpness: np.ndarray  # gamma a_max
    burn_in: np.ndarray  # updates


def table(columns: Mapping[Setting, Columns], k: int) -> Table:
    """A row for each setting."""
    names = ['optimizer', 'gamma', 'B', 'gamma / B', 'variance', 'interval', 'predicted', 'ratio']
    names += ['loss', 'gamma a_max', 'burn-in']
    rows = []
    for setting, values in columns.items():
        median, low, high = interval(values.measured)
        ratio = values.measured / values.predicted
        # beyond the stability limit nothing is predicted
        ratio = ratio[np.isfinite(values.predicted)]
        rows.append(
            [
                setting.optimizer,
                setting.gamma,
                setting.size,
                setting.gamma / setting.size,
                median,
                f'[{low:.4g}, {high:.4g}]',
                _median(values.predicted),
                _median(ratio),
                _median(values.loss),
                _median(values.sharpness),
                _median(values.burn_in),
            ]
        )
    caption = (
        'Variance of the deployed weights within the window, summed over all weights; medians '
        f'over seeds. Lookahead: k {k}. "ratio" is measured over predicted, by trial.'
    )
    return Table('Weight variance', names, rows, caption)


def _median(values):
    """Of those that are finite."""
    return interval(values)[0]


def verdict(columns: Mapping[Setting, Columns]) -> str:
    """The three answers, each with its interval over seeds."""
    sgd = {}
    for (alpha, gamma, size), values in columns.items():
        if alpha is None:
            sgd[gamma, size] = values
    answers = []
    slopes = _slopes(sgd)
    if slopes:
        power = _span(slopes, 2)
        answers.append(f'SGD: V ~ (gamma / B)^{power} (the quadratic says 1 for gamma a << 1)')
    for (alpha, gamma, size), values in columns.items():
        if alpha is not None and (gamma, size) in sgd:
            plain = sgd[gamma, size]
            ratio = _span(values.measured / plain.measured, 3)
            known = np.isfinite(values.predicted) & np.isfinite(plain.predicted)
            predicted = _median(values.predicted[known] / plain.predicted[known])
            answers.append(f'gamma {gamma}: Lookahead / SGD {ratio}, predicted {predicted:.3f}')
    fields = zip(*columns.values(), strict=True)
    trials = Columns(*map(np.concatenate, fields))
    count = np.count_nonzero(np.isfinite(trials.measured))
    ratios = trials.measured / trials.predicted
    # the prediction beyond the stability limit is inf
    unstable = int((ratios == 0).sum())
    if unstable:
        answers.append(
            f'{unstable} of {count} trials are beyond the stability limit of their quadratic'
        )
    answers.append(f'measured over predicted {_span(ratios[ratios > 0], 2)}')
    restless = int((trials.drift > 4).sum())
    answers.append(f'{restless} of {count} trials still drifted (|z| of the loss > 4)')
    return '; '.join(answers) + '.'


_QUADRATIC = (
    'Zhang et al. 2019 (arXiv:1907.08610, Proposition 2): of quadratics with independent noise, at '
    'rest after a synchronisation; nothing was measured of networks'
)


def claims(columns: Mapping[Setting, Columns], tolerance: float) -> Iterator[Claim]:
    """Power of the learning rate over the batch size; level; and Lookahead's share of it.

    Args:
        tolerance: what counts as none, of the power and of ratios, relative.
    """
    sgd = {}
    for (alpha, gamma, size), values in columns.items():
        if alpha is None:
            sgd[gamma, size] = values
    powers = np.array(_slopes(sgd))
    if len(powers):
        yield _judged(
            'The variance of the weights of SGD is proportional to gamma / B: a power of 1 within '
            f'{tolerance:g} (ours; the first order of the noisy quadratic in gamma a)',
            f'power {format_interval(powers)}, less 1',
            within,
            powers - 1,
            tolerance,
        )
    for (alpha, gamma, size), values in columns.items():
        if alpha is None:
            # at other batch sizes SGD stands in the power
            if size == min(size for _, size in sgd):
                yield _level(gamma, values, tolerance)
        elif (gamma, size) in sgd:
            yield from _shares(alpha, gamma, values, sgd[gamma, size], tolerance)


def _level(gamma, values, tolerance):
    ratios = _finite_ratio(values.measured, values.predicted)
    return _judged(
        f'gamma {gamma:g}: the variance of the weights of SGD is that of a quadratic with the '
        f'Hessian and noise at their mean, within {tolerance:.0%} (ours)',
        f'measured over predicted {format_interval(ratios)}, logarithm',
        within,
        np.log(ratios),
        math.log1p(tolerance),
    )


def _shares(alpha, gamma, values, plain, tolerance):
    """Lookahead's variance over SGD's, pair by pair."""
    setting = f'gamma {gamma:g}: Lookahead, alpha {alpha:g},'
    ratios = _finite_ratio(values.measured, plain.measured)
    share = f'ratio {format_interval(ratios)}'
    yield _judged(
        f'{setting} lowers the variance of the weights of SGD (ours, a network)',
        f'{share}, logarithm of its inverse',
        above,
        -np.log(ratios),
        paper=_QUADRATIC,
    )
    predicted = _finite_ratio(values.predicted, plain.predicted)
    yield _judged(
        f'{setting} lowers it to the share that a quadratic predicts, within {tolerance:.0%} '
        '(ours, a network)',
        f'{share}, predicted {format_interval(predicted)}, logarithm of one over the other',
        within,
        np.log(ratios / predicted),
        math.log1p(tolerance),
        paper=_QUADRATIC,
    )


def _judged(claim, measured, test, effects, margin=0.0, paper=''):
    """The claim, that ends what was measured with the interval of its effects."""
    words = f'{measured}: {format_interval(effects)}'
    judgement = judged(claim, words, test, effects, margin)
    return judgement._replace(paper=paper, effects=tuple(map(float, effects)))


def _finite_ratio(top, bottom):
    """NaN where either is no number: beyond its stability limit a quadratic predicts none."""
    sound = np.isfinite(top) & np.isfinite(bottom) & (bottom != 0)
    ratios = np.full(len(top), np.nan)
    ratios[sound] = top[sound] / bottom[sound]
    return ratios


def _span(values, digits):
    middle, low, high = interval(values)
    return f'{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]'


def _slopes(sgd):
    """d log V / d log (gamma / B) of each seed that has every setting; none where all have one
    gamma / B."""
    x = np.log([gamma / size for gamma, size in sgd])
    if len(set(x)) < 2:
        return []
    first = sgd[min(sgd)]
    slopes = []
    for seed in range(len(first.measured)):
        y = np.log([values.measured[seed] for values in sgd.values()])
        if np.isfinite(y).all():
            slope, _ = np.polyfit(x, y, 1)
            slopes.append(slope)
    return slopes


def figures(columns: Mapping[Setting, Columns]) -> list[Figure]:
    """Variance against learning rate over batch size, of each optimizer."""
    points, lines = {}, {}
    for setting, values in columns.items():
        x = setting.gamma / setting.size
        point = x, *interval(values.measured)
        points.setdefault(setting.optimizer, []).append(point)
        # the median of numbers and inf, where `interval` leaves inf out
        predicted = float(np.nanmedian(values.predicted))
        lines.setdefault(setting.optimizer, []).append((x, predicted))
    series = []
    for optimizer in sorted(points, key=_sgd_first):
        x, y, low, high = np.array(sorted(points[optimizer])).T
        ends = error_bars(y, low, high)
        ratios, predicted = np.array(sorted(lines[optimizer])).T
        series += [
            Series(optimizer, x.tolist(), y.tolist(), *ends, 'points', optimizer),
            Series(optimizer, ratios.tolist(), predicted.tolist(), group=optimizer),
        ]
    caption = (
        'Points: the trainer, intervals over seeds. Lines: the noisy quadratic with '
        'measured Hessian and noise.'
    )
    labels = 'learning rate / batch size', 'variance of the weights'
    title = 'Weight variance at constant rate'
    return [Figure('variance', title, *labels, series, 'log', 'log', caption)]


def _sgd_first(optimizer):
    return optimizer != 'SGD', optimizer
