"""The figures of steps to a target against batch size."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lbexp.analysis import Figure, Series
from lbexp.studies._comparison.scaling_fits import Fit, span


def scaling_figures(
    fits: Mapping[str, Fit],
    rates: Mapping[str, Sequence[float]],
    batch_sizes: Sequence[int],
    limits: Sequence[int],
) -> list[Figure]:
    """Steps against batch size, examples against steps, tuned learning rates against batch size.

    Args:
        fits: by optimizer.
        rates: by optimizer, the learning rate at each batch size; NaN where none reached the
            target.
        batch_sizes: [examples per update].
        limits: length of the runs at each batch size [updates].
    """
    sizes = [float(size) for size in batch_sizes]
    return [_steps(fits, sizes, limits), _trade(fits, sizes), _rates(rates, sizes)]


def _steps(fits, sizes, limits):
    series = []
    for name, fit in fits.items():
        y, low, high = _spans(fit, limits)
        series.append(Series(name, sizes, y, low, high, 'points', name))
        if math.isfinite(fit.critical[0]):
            fine_sizes, line = _fitted(fit, sizes)
            series.append(Series(f'{name}, fit', fine_sizes.tolist(), line.tolist(), group=name))
    fewest = min(fit.medians[0, 0] for fit in fits.values())
    if math.isfinite(fewest):
        perfect = [fewest * sizes[0] / size for size in sizes]
        series.append(Series('perfect scaling', sizes, perfect))
    caption = (
        'Medians over seeds with intervals; a missing point is censored at most seeds. Lines: S '
        '= S_min + E_min / B. '
        'Perfect scaling halves the steps with each doubling of the batch.'
    )
    labels = 'batch size [examples]', 'steps to the target [updates]'
    return Figure(
        'steps', 'Steps to the target against batch size', *labels, series, 'log', 'log', caption
    )


def _spans(fit, limits):
    """(y, low, high), each over batch sizes; y NaN: most seeds are censored."""
    spans = []
    for medians, limit in zip(fit.medians.T, limits, strict=True):
        middle, low, high = span(medians, fit.seeds)
        y = _finite_or(middle, math.nan)
        # resamples in which most seeds are censored: the bar goes as far as anyone looked
        if math.isinf(high) and math.isfinite(y):
            high = limit
        spans.append((y, _finite_or(low, y), _finite_or(high, y)))
    return zip(*spans, strict=True)


def _finite_or(value, otherwise):
    return value if math.isfinite(value) else otherwise


def _fitted(fit, sizes):
    """(batch sizes, steps) along S = S_min + E_min / B."""
    fine_sizes = np.geomspace(sizes[0], sizes[-1], 60)
    return fine_sizes, fit.fewest_steps[0] + fit.fewest_examples[0] / fine_sizes


def _trade(fits, sizes):
    """The same points and curves in McCandlish's axes."""
    series = []
    for name, fit in fits.items():
        reached = np.isfinite(fit.medians[0])
        steps = fit.medians[0][reached]
        examples = steps * np.asarray(sizes)[reached]
        points = steps.tolist(), examples.tolist()
        series.append(Series(name, *points, style='points', group=name))
        if math.isfinite(fit.critical[0]):
            fine_sizes, steps = _fitted(fit, sizes)
            examples = steps * fine_sizes
            line = steps.tolist(), examples.tolist()
            series.append(Series(f'{name}, fit', *line, group=name))
    caption = 'Lines: (S / S_min - 1)(E / E_min - 1) = 1. Batch size grows from right to left.'
    labels = 'steps to the target [updates]', 'examples to the target'
    return Figure('trade', 'Examples against steps', *labels, series, 'log', 'log', caption)


def _rates(rates, sizes):
    series, lowest = [], math.inf
    for name, of_size in rates.items():
        series.append(Series(name, sizes, list(of_size), style='points', group=name))
        if math.isfinite(of_size[0]):
            lowest = min(lowest, of_size[0])
    if math.isfinite(lowest):
        for rule, power in (('linear rule', 1.0), ('square-root rule', 0.5)):
            scaled = [lowest * (size / sizes[0]) ** power for size in sizes]
            series.append(Series(rule, sizes, scaled))
    caption = (
        'The learning rate that needs the fewest steps among those tried; lines: rules, from the '
        'lowest first point.'
    )
    labels = 'batch size [examples]', 'learning rate'
    return Figure(
        'rates', 'Tuned learning rate against batch size', *labels, series, 'log', 'log', caption
    )
