"""Figures of errors, learning rates and speed against batch size."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lbexp.analysis import Figure, Series
from lbexp.studies._comparison import compare
from lbexp.studies._comparison.arms import Arm, TuningResult

# by name, the arms in order of batch size; equal epochs first
Regimes = Mapping[str, Sequence[Arm]]


def error_figures(regimes: Regimes, measured: compare.Measured) -> list[Figure]:
    """Test and training error, and their difference, against batch size."""
    errors, gaps = [], []
    for regime, members in regimes.items():
        if len(members) < 2:
            continue
        sizes = _sizes(members)
        of_arms = [measured[arm.name] for arm in members]
        for name, metric in (('test', 'test_error'), ('training', 'train_error')):
            values = [metrics[metric] for metrics in of_arms]
            errors += compare.points(f'{name}, {regime}', sizes, values)
        gaps += compare.points(regime, sizes, [metrics['gap'] for metrics in of_arms])
    x_label = 'batch size [examples]'
    caption = 'Medians and intervals over seeds or tunings; learning rate tuned for every point.'
    small_gap = (
        'Medians and intervals over seeds or tunings. Where training error is high, a small '
        'gap is no merit.'
    )
    title, y_label = 'Generalization gap against batch size', 'test error - training error'
    absolute = 'Error against batch size'
    return [
        Figure('errors', absolute, x_label, 'error', errors, 'log', 'linear', caption),
        Figure('gap', title, x_label, y_label, gaps, 'log', caption=small_gap),
    ]


def rate_figures(
    regimes: Regimes, tuned: Mapping[str, TuningResult], path: str
) -> Iterator[Figure]:
    """Best learning rate against batch size beside the rules; validation error of every rate
    tried.

    Args:
        path: of the learning rate.
    """
    reference, at_epochs = next(iter(regimes.items()))
    best = []
    for regime, members in regimes.items():
        # without those at which every rate diverged
        rates = {}
        for arm in members:
            values = tuned[arm.name].best
            if values is not None:
                rates[arm.overrides['batch_size']] = values[path]
        if len(members) > 1 and rates:
            best.append(Series(regime, list(rates), list(rates.values()), style='points'))
    sizes = np.array(_sizes(at_epochs), float)
    of_smallest = tuned[at_epochs[0].name].best
    if of_smallest is not None:
        first = of_smallest[path]
        linear = first * sizes / sizes[0]
        root = first * np.sqrt(sizes / sizes[0])
        best.append(Series('linear rule', sizes.tolist(), linear.tolist()))
        best.append(Series('square-root rule', sizes.tolist(), root.tolist()))
    caption = f'Of the rates tried, by validation error; rules from the best one at B {sizes[0]:g}.'
    labels = 'batch size [examples]', 'learning rate'
    yield Figure('best_rate', 'Best learning rate', *labels, best, 'log', 'log', caption)
    tried = []
    for arm in at_epochs:
        tried += _tried(tuned[arm.name], path, f'B {arm.overrides["batch_size"]}')
    title = 'Validation error of every learning rate tried'
    caption = f'One trial a point, at {reference}; a gap is a trial that diverged.'
    labels = 'learning rate', 'validation error'
    yield Figure('tuning', title, *labels, tried, 'log', 'linear', caption)


def _tried(result, path, group):
    rates = np.array([point[path] for point in result.points])
    order = np.argsort(rates)
    # inf cannot be drawn
    scores = np.where(np.isfinite(result.scores), result.scores, np.nan)
    x, y = rates[order].tolist(), scores[order].tolist()
    return [
        Series(group, x, y, style='points', group=group),
        Series(group, x, y, group=group),
    ]


def path_figures(
    rows: Mapping[str, np.ndarray], members: Sequence[Arm], tuned: Mapping[str, TuningResult]
) -> Iterator[Figure]:
    """Test error against epochs, and the distance from the initial weights against log t."""
    errors, distances = [], []
    for arm in members:
        name, trials = f'B {arm.overrides["batch_size"]}', tuned[arm.name].trials
        epochs, accuracy = compare.path(rows, trials, 'epoch', 'test_accuracy')
        if len(epochs):
            errors.append(compare.band(name, epochs, 1 - accuracy))
        # where the configuration has that probe
        if 'distance' in rows:
            steps, distance = compare.path(rows, trials, 'step', 'distance')
            if len(steps):
                distances.append(compare.band(name, steps, distance))
    caption = 'Median over seeds, in the range of all; at equal epochs.'
    yield Figure('paths', 'Test error in training', 'epochs', 'test error', errors, caption=caption)
    if distances:
        title, labels = 'Distance from the initial weights', ('updates', '|w - w_0|')
        yield Figure('diffusion', title, *labels, distances, 'log', 'linear', caption)


def speed_figures(
    speeds: Mapping[str, Sequence[float]], sizes: Sequence[int], train_size: int
) -> Iterator[Figure]:
    """Examples and epochs per second of one trial alone.

    Args:
        speeds: by batch size as text, in each of a few stretches [examples / s].
        sizes: those drawn.
        train_size: examples of an epoch.
    """
    caption = (
        'Medians and intervals over stretches of a fifth of a second, by the clock, while '
        'nothing else is trained.'
    )
    units = ('speed', 'examples', 1), ('speed_epochs', 'epochs', train_size)
    for name, unit, examples in units:
        values = [np.array(speeds[str(size)]) / examples for size in sizes]
        series = compare.points(unit, sizes, values)
        title = f'Training speed of one trial: {unit}'
        labels = 'batch size [examples]', f'{unit} / s'
        yield Figure(name, title, *labels, series, 'log', 'log', caption)


def _sizes(members):
    return [arm.overrides['batch_size'] for arm in members]
