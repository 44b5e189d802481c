"""What the reported trials of arms measured, beside each other."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lbexp import results
from lbexp.analysis import RESAMPLES, SEED, Series, Table, format_interval, interval
from lbexp.studies._comparison.arms import Arm, Tuning, TuningResult

Measured = Mapping[str, Mapping[str, np.ndarray]]  # by arm and metric, the values by seed


def measure(workdir: Path, tuned: Mapping[str, TuningResult]) -> dict[str, dict[str, np.ndarray]]:
    """By arm and metric, the final value of each reported trial, in the order of seeds; NaN:
    diverged.

    Metrics are test_error, train_error, validation_error, gap and test_loss. Errors are 1 -
    accuracy; 'gap' is test error - training error, both in evaluation mode.
    """
    finals = results.final(workdir)
    sound = finals['status'] == 'done'

    def column(name):
        return np.where(sound, finals.get(name, np.full(len(sound), np.nan)), np.nan)

    values = {
        f'{name}_error': 1 - column(f'{name}_accuracy') for name in ('test', 'train', 'validation')
    }
    values['gap'] = values['test_error'] - values['train_error']
    values['test_loss'] = column('test_loss')
    place = {int(trial): row for row, trial in enumerate(finals['trial'])}
    measured = {}
    for arm, result in tuned.items():
        places = [place[trial] for trial in result.trials]
        measured[arm] = {name: of_trial[places] for name, of_trial in values.items()}
    return measured


def paired(measured: Measured, arm: str, other: str, metric: str = 'test_error') -> np.ndarray:
    """`metric` of `arm` minus that of `other`, seed by seed; where either diverged there is no
    pair."""
    a, b = measured[arm][metric], measured[other][metric]
    count = min(len(a), len(b))
    difference = a[:count] - b[:count]
    return difference[np.isfinite(difference)]


def gap_closed(
    measured: Measured, arm: str, large: str, small: str, metric: str = 'test_error'
) -> tuple[float, float, float]:
    """The share of the gap between `large` and `small` that `arm` closes, with its bootstrap
    interval over seeds.

        median(large - arm) / median(large - small), seeds resampled together

    1: `arm` is as good as `small`; 0: no better than `large`; NaN ends: one seed, or a gap that may
    be 0.
    """
    values = np.stack([measured[name][metric] for name in (arm, large, small)])
    values = values[:, np.isfinite(values).all(axis=0)]
    if values.shape[1] == 0 or np.median(values[1] - values[2]) <= 0:
        return math.nan, math.nan, math.nan
    # one draw of seeds for all three arms: they are paired
    draws = np.random.default_rng(SEED).integers(values.shape[1], size=(RESAMPLES, values.shape[1]))
    with np.errstate(all='ignore'):
        shares = _share(*values[:, draws])
    low, high = math.nan, math.nan
    if np.isfinite(shares).all() and values.shape[1] > 1:
        low, high = np.quantile(shares, (0.025, 0.975))
    return float(_share(*values)), float(low), float(high)


def _share(arm, large, small):
    return np.median(large - arm, axis=-1) / np.median(large - small, axis=-1)


def table(
    arms: Sequence[Arm],
    tuned: Mapping[str, TuningResult],
    measured: Measured,
    tuning: Tuning,
    reference: str,
) -> Table:
    """A row for each arm: best point, errors with intervals, the paired difference to the arm
    `reference`."""
    rows = []
    for arm in arms:
        result, values = tuned[arm.name], measured[arm.name]
        best = 'none: every trial diverged' if result.best is None else _best_in_words(result)
        total, count = len(values['test_error']), int(np.isfinite(values['test_error']).sum())
        trials = str(count) if count == total else f'{count} of {total}'
        difference = ''
        if arm.name != reference:
            difference = format_interval(paired(measured, arm.name, reference))
        cells = [format_interval(values[name]) for name in ('test_error', 'train_error', 'gap')]
        rows.append([arm.name, best, len(result.points), trials, *cells, difference])
    columns = ['arm', 'best point', 'tried', 'seeds', 'test error', 'training error', 'gap']
    columns.append(f'difference to {reference}')
    caption = (
        'Medians and bootstrap intervals over fresh seeds at the best of the points tried (by '
        'validation error, one seed). gap: test error minus training error. Differences are '
        'paired by seed. (edge): the best point is the outermost tried, after '
        f'{tuning.extensions} extensions of the space at most.'
    )
    return Table('Arms', columns, rows, caption)


def points(
    name: str, x: Sequence[float], values: Sequence, group: str | None = None
) -> list[Series]:
    """Medians with intervals at each x, and the line through them."""
    middle, low, high = zip(*(interval(v) for v in values), strict=True)
    low, high = (np.where(np.isfinite(ends), ends, middle).tolist() for ends in (low, high))
    return [
        Series(name, x, middle, low, high, 'points', group or name),
        Series(name, x, middle, group=group or name),
    ]


def path(
    rows: Mapping[str, np.ndarray], trials: Sequence[int], x: str, y: str
) -> tuple[np.ndarray, np.ndarray]:
    """(x [n], y [seeds, n]) of a metric of trials that were recorded at the same places."""
    curves = []
    for trial in trials:
        known = (rows['trial'] == trial) & np.isfinite(rows[y])
        curves.append((rows[x][known], rows[y][known]))
    length = max((len(places) for places, _ in curves), default=0)
    # a diverged trial has fewer
    complete = [(places, values) for places, values in curves if len(places) == length]
    places = complete[0][0] if complete else np.zeros(0)
    return places, np.array([values for _, values in complete])


def band(name: str, x: np.ndarray, curves: np.ndarray) -> Series:
    """Median over seeds in the band of all of them."""
    ends = curves.min(axis=0).tolist(), curves.max(axis=0).tolist()
    return Series(name, x.tolist(), np.median(curves, axis=0).tolist(), *ends)


def _best_in_words(result):
    """'learning_rate 0.1, momentum 0.9 (high edge)'."""
    words = []
    for path, value in result.best.items():
        number = f'{value:.3g}' if isinstance(value, float) else str(value)
        edge = f' ({result.edges[path]} edge)' if path in result.edges else ''
        words.append(f'{path.rpartition(".")[2]} {number}{edge}')
    return ', '.join(words) or 'nothing to tune'
