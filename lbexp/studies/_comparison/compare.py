"""What the reported trials of arms measured, beside each other."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lbexp import results
from lbexp.analysis import RESAMPLES, SEED, Series, Table, interval, spread
from lbexp.studies._comparison.arms import Arm, Found, Tuning

METRICS = ('test_error', 'train_error', 'gap', 'validation_error', 'test_loss')


def configuration(workdir) -> dict:
    """The study's configuration as the workdir has it."""
    for name in ('optimizer', 'workload'):
        results.part(workdir, name)
    return results.configuration(workdir)['config']


def measure(workdir, found: Mapping[str, Found]) -> dict[str, dict[str, np.ndarray]]:
    """By arm and metric, the final value of each reported trial, in the order of seeds; NaN:
    diverged.

    Errors are 1 - accuracy; 'gap' is test error - training error, both in evaluation mode.
    """
    finals = results.final(workdir)
    sound = finals['status'] == 'done'
    column = lambda name: np.where(sound, finals.get(name, np.full(len(sound), np.nan)), np.nan)
    values = {
        f'{name}_error': 1 - column(f'{name}_accuracy') for name in ('test', 'train', 'validation')
    }
    values |= {
        'gap': values['test_error'] - values['train_error'],
        'test_loss': column('test_loss'),
    }
    place = {int(trial): i for i, trial in enumerate(finals['trial'])}
    return {
        arm: {name: of[[place[trial] for trial in mine.trials]] for name, of in values.items()}
        for arm, mine in found.items()
    }


def paired(measured: Mapping, one: str, other: str, metric: str = 'test_error') -> np.ndarray:
    """`metric` of arm `one` minus that of arm `other`, seed by seed; where either diverged there is
    no pair."""
    a, b = measured[one][metric], measured[other][metric]
    count = min(len(a), len(b))
    difference = a[:count] - b[:count]
    return difference[np.isfinite(difference)]


def closed(
    measured: Mapping, arm: str, large: str, small: str, metric: str = 'test_error'
) -> tuple[float, float, float]:
    """The share of the gap between `large` and `small` that `arm` closes, with its bootstrap
    interval over seeds.

        median(large - arm) / median(large - small), seeds resampled together

    1: `arm` is as good as `small`; 0: no better than `large`; NaN ends: one seed, or a gap that may
    be 0.
    """
    values = np.stack([measured[name][metric] for name in (arm, large, small)])
    values = values[:, np.isfinite(values).all(axis=0)]
    share = lambda arm, large, small: (
        np.median(large - arm, axis=-1) / np.median(large - small, axis=-1)
    )
    if values.shape[1] == 0 or np.median(values[1] - values[2]) <= 0:
        return math.nan, math.nan, math.nan
    draws = np.random.default_rng(SEED).integers(values.shape[1], size=(RESAMPLES, values.shape[1]))
    with np.errstate(all='ignore'):
        shares = share(*values[:, draws])
    ends = (
        np.quantile(shares, (0.025, 0.975))
        if np.isfinite(shares).all() and values.shape[1] > 1
        else (math.nan,) * 2
    )
    return float(share(*values)), float(ends[0]), float(ends[1])


def table(
    made: Sequence[Arm],
    found: Mapping[str, Found],
    measured: Mapping,
    tuning: Tuning,
    reference: str,
) -> Table:
    """A row for each arm: best point, errors with intervals, the paired difference to the arm
    `reference`."""
    rows = []
    for arm in made:
        mine, values = found[arm.name], measured[arm.name]
        best = 'none: every trial diverged' if mine.best is None else _words(mine)
        count = int(np.isfinite(values['test_error']).sum())
        trials = (
            str(count)
            if count == len(values['test_error'])
            else f'{count} of {len(values["test_error"])}'
        )
        difference = '' if arm.name == reference else spread(paired(measured, arm.name, reference))
        cells = [spread(values[name]) for name in ('test_error', 'train_error', 'gap')]
        rows.append([arm.name, best, len(mine.points), trials, *cells, difference])
    columns = [
        'arm',
        'best point',
        'tried',
        'seeds',
        'test error',
        'training error',
        'gap',
        f'difference to {reference}',
    ]
    caption = (
        'Medians and bootstrap intervals over fresh seeds at the best of the points tried (by '
        'validation error, one '
        'seed). gap: test error minus training error. Differences are paired by seed. (edge): '
        'the best point is the '
        f'outermost tried, after {tuning.extensions} extensions of the space at most.'
    )
    return Table('Arms', columns, rows, caption)


def points(
    name: str, x: Sequence[float], values: Sequence, group: str | None = None
) -> list[Series]:
    """Medians with intervals at each x, and the line through them."""
    middle, low, high = zip(*(interval(v) for v in values), strict=True)
    low, high = (np.where(np.isfinite(ends), ends, middle) for ends in (low, high))
    return [
        Series(name, x, middle, low, high, 'points', group or name),
        Series(name, x, middle, group=group or name),
    ]


def path(rows: Mapping, trials: Sequence[int], x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """(x [n], y [seeds, n]) of a metric of trials that were recorded at the same places."""
    curves = []
    for trial in trials:
        mine = (rows['trial'] == trial) & np.isfinite(rows[y])
        curves.append((rows[x][mine], rows[y][mine]))
    length = max((len(at) for at, _ in curves), default=0)
    # a diverged trial has fewer
    whole = [(at, values) for at, values in curves if len(at) == length]
    return whole[0][0] if whole else np.zeros(0), np.array([values for _, values in whole])


def band(name: str, at: np.ndarray, curves: np.ndarray) -> Series:
    """Median over seeds in the band of all of them."""
    return Series(name, at, np.median(curves, axis=0), curves.min(axis=0), curves.max(axis=0))


def _words(found):
    value = lambda number: f'{number:.3g}' if isinstance(number, float) else str(number)
    told = [
        f'{path.rpartition(".")[2]} {value(number)}'
        + (f' ({found.edges[path]} edge)' if path in found.edges else '')
        for path, number in found.best.items()
    ]
    return ', '.join(told) or 'nothing to tune'
