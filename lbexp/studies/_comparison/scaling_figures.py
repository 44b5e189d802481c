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
        spans = [span(values, fit.seeds) for values in fit.medians.T]
        y = [_number(middle) for middle, _, _ in spans]
        low = [_number(low, middle) for middle, (_, low, _) in zip(y, spans, strict=True)]
        high = [
            limit if math.isinf(high) and not math.isnan(middle) else _number(high, middle)
            for middle, (_, _, high), limit in zip(y, spans, limits, strict=True)
        ]
        series.append(Series(name, sizes, y, low, high, 'points', name))
        if math.isfinite(fit.critical[0]):
            fine = np.geomspace(sizes[0], sizes[-1], 60)
            line = fit.fewest_steps[0] + fit.fewest_examples[0] / fine
            series.append(Series(f'{name}, fit', fine.tolist(), line.tolist(), group=name))
    starts = [fit.medians[0, 0] for fit in fits.values() if math.isfinite(fit.medians[0, 0])]
    if starts:
        perfect = [min(starts) * sizes[0] / size for size in sizes]
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


def _trade(fits, sizes):
    """The same points and curves in McCandlish's axes."""
    series = []
    for name, fit in fits.items():
        there = np.isfinite(fit.medians[0])
        steps = fit.medians[0][there]
        examples = steps * np.asarray(sizes)[there]
        series.append(Series(name, steps.tolist(), examples.tolist(), style='points', group=name))
        if math.isfinite(fit.critical[0]):
            fine = np.geomspace(sizes[0], sizes[-1], 60)
            line = fit.fewest_steps[0] + fit.fewest_examples[0] / fine
            series.append(Series(f'{name}, fit', line.tolist(), (line * fine).tolist(), group=name))
    caption = 'Lines: (S / S_min - 1)(E / E_min - 1) = 1. Batch size grows from right to left.'
    labels = 'steps to the target [updates]', 'examples to the target'
    return Figure('trade', 'Examples against steps', *labels, series, 'log', 'log', caption)


def _rates(rates, sizes):
    series = [
        Series(name, sizes, list(of_size), style='points', group=name)
        for name, of_size in rates.items()
    ]
    known = [of_size[0] for of_size in rates.values() if math.isfinite(of_size[0])]
    if known:
        for rule, power in (('linear rule', 1.0), ('square-root rule', 0.5)):
            scaled = [min(known) * (size / sizes[0]) ** power for size in sizes]
            series.append(Series(rule, sizes, scaled))
    caption = (
        'The learning rate that needs the fewest steps among those tried; lines: rules, from the '
        'lowest first point.'
    )
    labels = 'batch size [examples]', 'learning rate'
    return Figure(
        'rates', 'Tuned learning rate against batch size', *labels, series, 'log', 'log', caption
    )


def _number(value, otherwise=math.nan):
    return value if math.isfinite(value) else otherwise
