"""Tables of steps to a target against batch size."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lbexp.analysis import Table
from lbexp.studies._comparison.arms import TuningResult
from lbexp.studies._comparison.scaling_fits import Fit, span
from lbexp.theory.critical_batch_size import regions


class AtSize(NamedTuple):
    """An optimizer at one batch size."""

    size: int  # examples per update
    limit: int  # length of the runs [updates]
    rate: float  # tuned learning rate, of the first tuning; NaN: none reached the target
    result: TuningResult  # of the first tuning
    steps: list[float]  # to the target, of each independent draw; inf where censored
    runs: list[float]  # the same of each reported trial


class Scaling(NamedTuple):
    """An optimizer with all its batch sizes."""

    fit: Fit
    at_sizes: list[AtSize]  # ascending


def draws(by_tuning: Sequence[Sequence[float]]) -> list[float]:
    """Steps of the independent draws: the seeds of one tuning, or the medians of several.

    The upper middle of an even number: a mean with a censored one would be inf. A tuning that found
    no rate is censored, too.
    """
    if len(by_tuning) == 1:
        return list(by_tuning[0])
    medians = []
    for steps in by_tuning:
        medians.append(sorted(steps)[len(steps) // 2] if steps else math.inf)
    return medians


def slopes(sizes: Sequence[int], medians: np.ndarray) -> np.ndarray:
    """Of the straight lines through log steps [resamples, sizes] against log batch sizes; NaN where
    a median is censored."""
    x = np.log(np.asarray(sizes, float))
    x = x - x.mean()
    reached = np.where(np.isfinite(medians), medians, np.nan)
    return np.log(reached) @ x / np.sum(x**2)


def format_span(values: tuple[float, float, float], limit: int | None = None) -> str:
    """'3.1 [2.9, 3.4]' of (estimate, low, high); what is infinite lies beyond `limit`."""
    estimate, low, high = values
    if math.isnan(estimate):
        return 'not found: fewer than 3 batch sizes reach the target'
    if math.isnan(low):
        return f'{_number(estimate, limit)} (one seed: no interval)'
    return f'{_number(estimate, limit)} [{_number(low, limit)}, {_number(high, limit)}]'


def _number(value, limit):
    if math.isfinite(value):
        return f'{value:.3g}'
    if limit:
        return f'> {limit}'
    return 'beyond all tried'


def fits_table(scalings: Mapping[str, Scaling]) -> Table:
    """Critical batch size, S_min, E_min and deviation of the fit of each optimizer."""
    rows = []
    for name, (fit, _) in scalings.items():
        row = [name]
        for values in (fit.critical, fit.fewest_steps, fit.fewest_examples, fit.deviation):
            row.append(format_span(span(values, fit.seeds)))
        rows.append(row)
    columns = ['optimizer', 'critical batch size', 'S_min [updates]', 'E_min [examples]']
    columns.append('deviation')
    caption = (
        'Least squares of S = S_min + E_min / B over trials, on relative errors, censored ones '
        'included; at the critical batch size E_min / S_min steps and examples are twice their '
        'minimum. Intervals: bootstrap over seeds, at the learning rates that tuning chose, or '
        'over tunings where there are several.'
    )
    return Table('Critical batch sizes', columns, rows, caption)


def steps_table(scalings: Mapping[str, Scaling], drawn: str) -> Table:
    """A row for each optimizer and batch size.

    Args:
        drawn: what medians and intervals are over.
    """
    columns = ['optimizer', 'batch size', 'learning rate', 'tried', 'reached', 'steps']
    columns += ['examples', 'slope', 'region']
    rows = []
    for name, (fit, at_sizes) in scalings.items():
        sizes, critical = [setting.size for setting in at_sizes], float(fit.critical[0])
        names = [''] * len(sizes)
        if not math.isnan(critical):
            names = regions(sizes, critical)
        slopes = _slopes(sizes, fit.medians[0])
        for i, setting in enumerate(at_sizes):
            cells = _cells(setting, fit.medians[:, i])
            slope = f'{slopes[i]:.2f}' if math.isfinite(slopes[i]) else ''
            rows.append([name, setting.size, *cells, slope, names[i]])
    caption = (
        f'Steps: {drawn} A censored run counts as longer than any other; intervals are of a '
        'bootstrap. Learning rate and points tried: of the first tuning. Slope: d '
        'log steps / d log batch size between the neighbours. Regions by the fit: perfect '
        'scaling below a quarter of the critical batch size, stagnation above four times it.'
    )
    return Table('Steps to the target', columns, rows, caption)


def _cells(setting, medians):
    """Learning rate, points tried, trials that reached the target, steps and examples."""
    reached = sum(map(math.isfinite, setting.runs))
    steps = span(medians, len(setting.steps))
    examples = steps[0] * setting.size
    return [
        _rate(setting),
        len(setting.result.points),
        f'{reached} of {len(setting.runs)}',
        # nothing is reported where no rate reached the target
        format_span(steps, setting.limit) if setting.steps else f'> {setting.limit}',
        f'{examples:.3g}' if math.isfinite(examples) else 'censored',
    ]


def _rate(setting):
    if setting.result.best is None:
        return 'none reached'
    text = f'{setting.rate:.3g}'
    for side in setting.result.edges.values():
        text += f' ({side} edge)'
    return text


def _slopes(sizes: Sequence[int], medians: np.ndarray) -> np.ndarray:
    """Between the neighbours of each point; NaN beside a censored one."""
    x = np.log(np.asarray(sizes, float))
    # inf would make a slope of inf, not of NaN
    reached = np.where(np.isfinite(medians), medians, np.nan)
    y = np.log(reached)
    return np.gradient(y, x)
