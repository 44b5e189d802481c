"""Scores of networks and of baselines on the same test examples, in one table."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lbexp.analysis import Table
from lbexp.inference import Interval
from lbexp.resampling import DRAWS, Scores, mean, percentiles, resampled

_MEASURES = {'auc': 'AUC', 'average_precision': 'average precision', 'loss': 'log loss'}
_COMPARED = ('auc', 'loss')
_COLUMNS = ['model', *(f'test {name.replace("_", " ")}' for name in _MEASURES)]


class Intervals(NamedTuple):
    """What is said of test examples: AUC, average precision and mean log loss [nats]."""

    auc: Interval
    average_precision: Interval
    loss: Interval


class Network(NamedTuple):
    """A trained network."""

    configuration: str  # in words, without the seed
    trial: int
    scores: Scores


class Comparison(NamedTuple):
    """Networks beside baselines, on the same test examples and resamples of them."""

    configurations: Table  # in short: the mean over seeds of each configuration, and the baselines
    trials: Table  # numbers in full: each trial, and the baselines
    verdict: list[str]  # a line for each measure that is compared


def scores(logits: np.ndarray, labels: np.ndarray, draws: int = DRAWS) -> Intervals:
    """AUC, average precision and log loss with 95 % intervals: percentiles of the bootstrap over
    examples.

    Args:
        logits, labels, draws: as in resampling.resampled.
    """
    return _intervals(resampled(logits, labels, draws))


def score_table(models: Mapping[str, Scores], title: str, caption: str) -> Table:
    """A row for each model."""
    rows = [[name, *_cells(of_model)] for name, of_model in models.items()]
    return Table(title, _COLUMNS, rows, caption)


def comparison(
    networks: Sequence[Network], baselines: Mapping[str, Scores], title: str, caption: str
) -> Comparison:
    """Networks beside the baseline with the highest AUC on the test examples, the harder one to
    beat: differences are paired, on each resample.

    Args:
        networks: of any configurations; those of one are averaged, score by score.
        baselines: by name, one or more.
        caption: what is said of the test examples.
    """
    best = max(baselines, key=lambda name: baselines[name].auc[0])
    by_configuration = {}
    for network in networks:
        by_configuration.setdefault(network.configuration, []).append(network.scores)
    means = {name: mean(of_seeds) for name, of_seeds in by_configuration.items()}
    columns = [*_COLUMNS, *(f'{name} less that of {best}' for name in _COMPARED)]
    rows = []
    for name, of_model in {**means, **baselines}.items():
        row = [name, *_cells(of_model)]
        for measure in _COMPARED:
            difference = _difference(of_model, baselines[best], measure)
            row.append('–' if name == best else _signed(difference))
        rows.append(row)
    caption += ' Networks: the mean over seeds. Each interval stands by itself.'
    verdict = [_verdict(measure, means, best, baselines[best]) for measure in _COMPARED]
    in_full = _in_full(networks, baselines, best)
    return Comparison(Table(title, columns, rows, caption), in_full, verdict)


def _in_full(networks, baselines, best):
    """A row of numbers for each trial and each baseline."""
    columns = ['model', 'trial']
    for measure in _MEASURES:
        columns += [f'test_{measure}', f'test_{measure}_low', f'test_{measure}_high']
    for measure in _COMPARED:
        name = f'{measure} less that of {best}'
        columns += [name, f'{name}, low', f'{name}, high']
    models: list[tuple] = list(networks)
    for name, of_baseline in baselines.items():
        models.append((name, '', of_baseline))
    rows = []
    for name, trial, of_model in models:
        row = [name, trial]
        for interval in _intervals(of_model):
            row += interval
        for measure in _COMPARED:
            row += _difference(of_model, baselines[best], measure)
        rows.append(row)
    return Table('Trials and baselines', columns, rows)


def _verdict(measure, networks, best, of_best):
    """Which networks are behind the baseline, and which ahead: the interval of the difference
    excludes 0."""
    sign = -1 if measure == 'loss' else 1  # 1: more is better
    outcomes = {'behind': [], 'ahead': [], 'undecided': []}
    for name, of_network in networks.items():
        _, low, high = _difference(of_network, of_best, measure)
        if max(sign * low, sign * high) < 0:
            outcomes['behind'].append(name)
        elif min(sign * low, sign * high) > 0:
            outcomes['ahead'].append(name)
        else:
            outcomes['undecided'].append(name)
    parts = []
    for words, names in outcomes.items():
        if names:
            parts.append(f'{len(names)} {words} ({"; ".join(names)})')
    return f'By {_MEASURES[measure]}, beside {best}: {", ".join(parts)}.'


def _difference(of_model, of_other, measure):
    return percentiles(getattr(of_model, measure) - getattr(of_other, measure))


def _intervals(of_model):
    return Intervals(*map(percentiles, of_model))


def _cells(of_model):
    return [f'{value:.4f} [{low:.4f}, {high:.4f}]' for value, low, high in _intervals(of_model)]


def _signed(interval):
    value, low, high = interval
    return f'{value:+.4f} [{low:+.4f}, {high:+.4f}]'
