"""Figures of errors, learning rates and speed against batch size."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lbexp.analysis import Figure, Series
from lbexp.studies._comparison import compare
from lbexp.studies._comparison.arms import Arm, TuningResult

Regimes = Mapping[
    str, Sequence[Arm]
]  # by name, the arms in order of batch size; equal epochs first


def error_figures(regimes: Regimes, measured: compare.Measured) -> list[Figure]:
    """Test and training error, and their difference, against batch size."""
    errors, gaps = [], []
    for regime, members in regimes.items():
        if len(members) < 2:
            continue
        sizes = _sizes(members)
        for name, metric in (('test', 'test_error'), ('training', 'train_error')):
            values = [measured[arm.name][metric] for arm in members]
            errors += compare.points(f'{name}, {regime}', sizes, values)
        gaps += compare.points(regime, sizes, [measured[arm.name]['gap'] for arm in members])
    x_label = 'batch size [examples]'
    caption = 'Medians and bootstrap intervals over seeds; learning rate tuned for every point.'
    small_gap = (
        'Medians and bootstrap intervals over seeds. Where training error is high, a small '
        'gap is no merit.'
    )
    title, y_label = 'Generalization gap against batch size', 'test error - training error'
    return [
        Figure(
            'errors',
            'Error against batch size',
            x_label,
            'error',
            errors,
            'log',
            'linear',
            caption,
        ),
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
    reference = next(iter(regimes))
    best = []
    for regime, members in regimes.items():
        known = [arm for arm in members if tuned[arm.name].best is not None]
        if len(members) > 1 and known:
            rates = [_best(tuned, arm, path) for arm in known]
            best.append(Series(regime, _sizes(known), rates, style='points'))
    smallest = regimes[reference][0]
    sizes = np.array(_sizes(regimes[reference]), float)
    if tuned[smallest.name].best is not None:
        first = _best(tuned, smallest, path)
        linear, root = first * sizes / sizes[0], first * np.sqrt(sizes / sizes[0])
        best.append(Series('linear rule', sizes.tolist(), linear.tolist()))
        best.append(Series('square-root rule', sizes.tolist(), root.tolist()))
    caption = f'Of the rates tried, by validation error; rules from the best one at B {sizes[0]:g}.'
    labels = 'batch size [examples]', 'learning rate'
    yield Figure('best_rate', 'Best learning rate', *labels, best, 'log', 'log', caption)
    tried = []
    for arm in regimes[reference]:
        tried += _tried(tuned[arm.name], path, f'B {arm.overrides["batch_size"]}')
    title = 'Validation error of every learning rate tried'
    caption = f'One trial a point, at {reference}; a gap is a trial that diverged.'
    labels = 'learning rate', 'validation error'
    yield Figure('tuning', title, *labels, tried, 'log', 'linear', caption)


def _best(tuned, arm, path):
    best = tuned[arm.name].best
    assert best is not None
    return best[path]


def _tried(result, path, group):
    rates = np.array([point[path] for point in result.points])
    order = np.argsort(rates)
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
