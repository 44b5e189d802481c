"""Table, sentence and figure of a network's weight variance beside the noisy quadratic's."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from lbexp.analysis import Figure, Series, Table, interval
from lbexp.studies._network.spectra import Setting


class Columns(NamedTuple):
    """Of a setting, by seed."""

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
        finite = np.isfinite(values.predicted)
        ratio = (values.measured / values.predicted)[finite]
        medians = [
            interval(each)[0]
            for each in (values.predicted, ratio, values.loss, values.sharpness, values.burn_in)
        ]
        head = [setting.optimizer, setting.gamma, setting.size, setting.gamma / setting.size]
        rows.append([*head, median, f'[{low:.4g}, {high:.4g}]', *medians])
    caption = (
        'Variance of the deployed weights within the window, summed over all weights; medians '
        f'over seeds. Lookahead: k {k}. "ratio" is measured over predicted, by trial.'
    )
    return Table('Weight variance', names, rows, caption)


def verdict(columns: Mapping[Setting, Columns]) -> str:
    """The three answers, each with its interval over seeds."""
    sgd = {setting[1:]: values for setting, values in columns.items() if setting.alpha is None}
    words = []
    slopes = _slopes(sgd)
    if slopes:
        middle, low, high = interval(slopes)
        span = f'{middle:.2f} [{low:.2f}, {high:.2f}]'
        words.append(f'SGD: V ~ (gamma / B)^{span} (the quadratic says 1 for gamma a << 1)')
    for (alpha, gamma, size), values in columns.items():
        if alpha is not None and (gamma, size) in sgd:
            plain = sgd[gamma, size]
            middle, low, high = interval(values.measured / plain.measured)
            known = np.isfinite(values.predicted) & np.isfinite(plain.predicted)
            predicted = interval(values.predicted[known] / plain.predicted[known])[0]
            span = f'{middle:.3f} [{low:.3f}, {high:.3f}]'
            words.append(f'gamma {gamma}: Lookahead / SGD {span}, predicted {predicted:.3f}')
    ratios = np.concatenate([values.measured / values.predicted for values in columns.values()])
    unstable = int((ratios == 0).sum())
    if unstable:
        words.append(
            f'{unstable} of {len(ratios)} trials are beyond the stability limit of their quadratic'
        )
    middle, low, high = interval(ratios[ratios > 0])
    words.append(f'measured over predicted {middle:.2f} [{low:.2f}, {high:.2f}]')
    restless = sum(int((values.drift > 4).sum()) for values in columns.values())
    words.append(f'{restless} of {len(ratios)} trials still drifted (|z| of the loss > 4)')
    return '; '.join(words) + '.'


def _slopes(sgd):
    """d log V / d log (gamma / B) of each seed; none where all have one gamma / B."""
    x = np.log([gamma / size for gamma, size in sgd])
    if len(set(x)) < 2:
        return []
    first = sgd[min(sgd)]
    slopes = []
    for seed in range(len(first.measured)):
        y = np.log([values.measured[seed] for values in sgd.values()])
        slopes.append(np.polyfit(x, y, 1)[0])
    return slopes


def figures(columns: Mapping[Setting, Columns]) -> list[Figure]:
    """Variance against learning rate over batch size, of each optimizer."""
    by_optimizer = {}
    for setting, values in columns.items():
        point = setting.gamma / setting.size, *interval(values.measured)
        line = setting.gamma / setting.size, float(np.median(values.predicted))
        by_optimizer.setdefault(setting.optimizer, []).append((point, line))
    series = []
    for optimizer in sorted(by_optimizer, key=_sgd_first):
        points, lines = zip(*by_optimizer[optimizer], strict=True)
        x, y, low, high = np.array(sorted(points)).T
        low, high = np.where(np.isfinite(low), low, y), np.where(np.isfinite(high), high, y)
        ends = y.tolist(), low.tolist(), high.tolist()
        ratios, predicted = np.array(sorted(lines)).T.tolist()
        series += [
            Series(optimizer, x.tolist(), *ends, 'points', optimizer),
            Series(optimizer, ratios, predicted, group=optimizer),
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
