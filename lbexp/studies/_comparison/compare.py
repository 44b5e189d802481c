"""What the reported trials of arms measured, beside each other."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lbexp import inference, power_analysis, results
from lbexp.analysis import Series, Table, format_interval, interval
from lbexp.studies._comparison import arms
from lbexp.studies._comparison.arms import Tuning, TuningResult
from lbexp.studies._comparison.compared import Compared
from lbexp.studies._finals import final_metric, final_of_set, row_of_trial

# by arm and metric, the independent draws: values by seed or, of several tunings, means by tuning
Measured = Mapping[str, Mapping[str, np.ndarray]]


def measure(
    workdir: Path, *tunings: Mapping[str, TuningResult], metric: str = 'error'
) -> dict[str, dict[str, np.ndarray]]:
    """By arm and metric, the final value of each reported trial, in the order of seeds; of several
    tunings the mean of each over its seeds. NaN: diverged.

    Metrics are test_error, train_error, validation_error, gap and test_loss. Errors are 1 -
    accuracy; 'gap' is test error - training error, both in evaluation mode. With another metric,
    test_token_loss for example, it stands in the place of the errors.
    """
    finals = results.final(workdir)
    metrics = {}
    for part in ('test', 'train', 'validation'):
        metrics[f'{part}_{metric}'] = final_of_set(finals, part, metric)
    metrics['gap'] = metrics[f'test_{metric}'] - metrics[f'train_{metric}']
    metrics['test_loss'] = final_metric(finals, 'test_loss')
    row_of = row_of_trial(finals)
    measured = {}
    for arm in tunings[0]:
        rows = [[row_of[trial] for trial in tuned[arm].trials] for tuned in tunings]
        measured[arm] = {}
        for name, values in metrics.items():
            measured[arm][name] = draws([values[places] for places in rows])
    return measured


def tuned_error(
    workdir: Path, results_of_arm: Sequence[TuningResult], part: str = 'test'
) -> np.ndarray:
    """What intervals are drawn over: of one tuning, `final_error` of each reported seed; of
    several, of each its mean over the seeds. NaN where a seed of it diverged."""
    errors = [arms.final_error(workdir, result.trials, part) for result in results_of_arm]
    return draws(errors)


def draws(by_tuning: Sequence[np.ndarray]) -> np.ndarray:
    """The independent draws among values of reported seeds: the seeds of one tuning, or the means
    of several tunings. A mean over none is NaN."""
    if len(by_tuning) == 1:
        return by_tuning[0]
    return np.array([values.mean() if len(values) else np.nan for values in by_tuning])


def differences(measured: Measured, arm: str, other: str, metric: str = 'test_error') -> np.ndarray:
    """`metric` of `arm` minus that of `other`, in the order of seeds; NaN where either diverged."""
    a, b = measured[arm][metric], measured[other][metric]
    count = min(len(a), len(b))
    return a[:count] - b[:count]


def paired(measured: Measured, arm: str, other: str, metric: str = 'test_error') -> np.ndarray:
    """`differences` of the seeds that have one; what is left is no longer in the order of seeds."""
    difference = differences(measured, arm, other, metric)
    return difference[np.isfinite(difference)]


def gap_closed(
    measured: Measured, arm: str, large: str, small: str, metric: str = 'test_error'
) -> tuple[float, float, float]:
    """The share of the gap between `large` and `small` that `arm` closes, with its interval:

        mean(large - arm) / mean(large - small),  Fieller's (`inference.ratio_interval`)

    1: `arm` is as good as `small`; 0: no better than `large`. NaN where there is no gap, NaN ends
    where it may be 0 or one seed was drawn.
    """
    closed = differences(measured, large, arm, metric)
    gap = differences(measured, large, small, metric)
    count = min(len(closed), len(gap))
    share = inference.ratio_interval(closed[:count], gap[:count])
    if not np.nanmean(gap[:count]) > 0:
        return math.nan, math.nan, math.nan
    return share


def table(compared: Compared, measured: Measured, reference: str) -> Table:
    """A row for each arm: best point, errors, or the tuning's metric, with intervals, the paired
    difference to the arm `reference`."""
    tuning, metric = compared.tuning, compared.tuning.metric
    test, train, noun = f'test_{metric}', f'train_{metric}', in_words(metric)
    rows = []
    for arm in compared.arms:
        results_of_arm = [tuned[arm.name] for tuned in compared.tunings]
        metrics = measured[arm.name]
        count = _count_in_words(np.isfinite(metrics[test]))
        difference = detected = ''
        if arm.name != reference:
            pairs = paired(measured, arm.name, reference, test)
            difference, detected = format_interval(pairs), detects(pairs)
        errors = [format_interval(metrics[name]) for name in (test, train, 'gap')]
        best = ' | '.join(map(_best_in_words, results_of_arm))
        tried = sum(len(result.points) for result in results_of_arm)
        missed = grid_error(results_of_arm)
        grid = f'{missed:.2g}' if math.isfinite(missed) else 'unknown'
        rows.append([arm.name, best, tried, count, *errors, difference, detected, grid])
    unit = unit_of(tuning)
    columns = ['arm', 'optimum', 'tried', unit, f'test {noun}', f'training {noun}', 'gap']
    columns += [f'difference to {reference}', 'detects', 'grid error']
    caption = (
        f'{_drawn_in_words(tuning)}, at the optimum by validation {noun}: (fitted) the vertex of a '
        'parabola through the points around the best, else the best of the points tried. Every '
        f'arm that is tuned is tried at {tuning.budget} points in each tuning, half of them in '
        f'the first round, the rest in {tuning.extensions} more: beyond an edge, or around the '
        'best. Grid error: by how much the optimum may miss the true one, from the distance of '
        f'the points and the curvature of the parabola. gap: test {noun} minus training {noun}. '
        f'Differences are paired by {unit[:-1]}. Detects: the difference that as many draws of '
        'this spread decide in 4 of 5 studies. (edge): the best point is the outermost tried.'
    )
    return Table('Arms', columns, rows, caption)


def detects(effects: np.ndarray) -> str:
    """'0.011': the effect that so many draws of such a spread decide with power 0.8."""
    if len(effects) < inference.LEAST_PAIRS:
        return f'nothing: {len(effects)} of {inference.LEAST_PAIRS} pairs'
    effect = power_analysis.detectable(float(np.std(effects, ddof=1)), len(effects))
    return f'{effect:.2g}'


def grid_error(results_of_arm: Sequence[TuningResult]) -> float:
    """By how much an arm's optimum may miss the true one [score]: median over its tunings; NaN:
    not known."""
    return float(np.median([result.grid_error for result in results_of_arm]))


def in_words(metric: str) -> str:
    """'token loss' of 'token_loss'."""
    return metric.replace('_', ' ')


def unit_of(tuning: Tuning) -> str:
    """What was drawn independently, and is counted."""
    return 'seeds' if tuning.tunings == 1 else 'tunings'


def _drawn_in_words(tuning):
    """What the medians and intervals are over."""
    if tuning.tunings == 1:
        return (
            'Medians and intervals over fresh seeds of one tuning, whose own noise they leave out'
        )
    return (
        f'Medians and intervals over {tuning.tunings} tunings, each the mean of {tuning.seeds} '
        'fresh seeds'
    )


def points(
    name: str, x: Sequence[float], values: Sequence, group: str | None = None
) -> list[Series]:
    """Medians with intervals at each x, and the line through them."""
    middle, low, high = zip(*map(interval, values), strict=True)
    low, high = error_bars(middle, low, high)
    group = group or name
    return [
        Series(name, x, middle, low, high, 'points', group),
        Series(name, x, middle, group=group),
    ]


def error_bars(
    middle: Sequence[float] | np.ndarray,
    low: Sequence[float] | np.ndarray,
    high: Sequence[float] | np.ndarray,
) -> tuple[list[float], list[float]]:
    """The ends of intervals, to be drawn: a lone seed has none, and its bar no length."""
    low = np.where(np.isfinite(low), low, middle)
    high = np.where(np.isfinite(high), high, middle)
    return low.tolist(), high.tolist()


def path(
    rows: Mapping[str, np.ndarray], trials: Sequence[int], x: str, y: str
) -> tuple[np.ndarray, np.ndarray]:
    """(x [n], y [seeds, n]) of a metric of trials that were recorded at the same places."""
    curves = []
    for trial in trials:
        measured = (rows['trial'] == trial) & np.isfinite(rows[y])
        curves.append((rows[x][measured], rows[y][measured]))
    if not curves:
        return np.zeros(0), np.zeros(0)
    length = max(len(places) for places, _ in curves)
    # a diverged trial has fewer
    complete = [curve for curve in curves if len(curve[0]) == length]
    places, values = zip(*complete, strict=True)
    return places[0], np.array(values)


def band(name: str, x: np.ndarray, curves: np.ndarray) -> Series:
    """Median over seeds in the band of all of them."""
    median = np.median(curves, axis=0).tolist()
    lowest = curves.min(axis=0).tolist()
    highest = curves.max(axis=0).tolist()
    return Series(name, x.tolist(), median, lowest, highest)


def _count_in_words(sound):
    """'5', or '4 of 5'."""
    count, total = int(np.sum(sound)), len(sound)
    return str(count) if count == total else f'{count} of {total}'


def _best_in_words(result):
    """'learning_rate 0.1, momentum 0.9 (high edge)'."""
    if result.best is None:
        return 'none: every trial diverged'
    settings = []
    for path, value in result.best.items():
        setting = f'{path.rpartition(".")[2]} '
        setting += f'{value:.3g}' if isinstance(value, float) else str(value)
        if result.best_point.fitted is not None:
            setting += ' (fitted)'
        if path in result.edges:
            setting += f' ({result.edges[path]} edge)'
        settings.append(setting)
    return ', '.join(settings) or 'nothing to tune'
