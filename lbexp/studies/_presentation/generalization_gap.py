"""Figures of errors, learning rates and speed against batch size."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lbexp.analysis import Figure, Series
from lbexp.studies._comparison import compare
from lbexp.studies._comparison.arms import Arm, TuningResult

# by name, the arms in order of batch size; equal epochs first
Regimes = Mapping[str, Sequence[Arm]]


def error_figures(regimes: Regimes, measured: compare.Measured, drawn: str) -> list[Figure]:
    """Test and training error, and their difference, against batch size.

    Args:
        drawn: what the points and intervals are, and how many draws they are of.
    """
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
    caption = (
        f'{drawn} Learning rate tuned for every point. Training error tells of optimization, what '
        'test error has beyond it of generalization.'
    )
    small_gap = f'{drawn} Where training error is high, a small gap is no merit.'
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
    """Test error, training error and their difference against epochs, and the distance from the
    initial weights against log t."""
    of_parts, distances = {'test': [], 'training': [], 'gap': []}, []
    count = 0
    for arm in members:
        name, trials = f'B {arm.overrides["batch_size"]}', tuned[arm.name].trials
        count = max(count, len(trials))
        for part, (epochs, values) in error_paths(rows, trials, 'epoch').items():
            if len(epochs):
                of_parts[part].append(compare.band(name, epochs, values))
        # where the configuration has that probe
        if 'distance' in rows:
            steps, distance = compare.path(rows, trials, 'step', 'distance')
            if len(steps):
                distances.append(compare.band(name, steps, distance))
    caption = f'Median of {count} seeds of one tuning, in the range of all; at equal epochs.'
    yield from path_figures_of_parts('paths', 'epochs', of_parts, caption)
    if distances:
        title, labels = 'Distance from the initial weights', ('updates', '|w - w_0|')
        yield Figure('diffusion', title, *labels, distances, 'log', 'linear', caption)


def error_paths(
    rows: Mapping[str, np.ndarray], trials: Sequence[int], x: str
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{'test', 'training', 'gap': (x [n], values [seeds, n])} of trials; those that were
    recorded."""
    places, accuracy = compare.path(rows, trials, x, 'test_accuracy')
    paths = {'test': (places, 1 - accuracy)}
    if 'train_accuracy' in rows:
        of_training, train_accuracy = compare.path(rows, trials, x, 'train_accuracy')
        paths['training'] = of_training, 1 - train_accuracy
        if np.array_equal(places, of_training) and accuracy.shape == train_accuracy.shape:
            paths['gap'] = places, train_accuracy - accuracy
    return paths


def path_figures_of_parts(
    name: str,
    x_label: str,
    of_parts: Mapping[str, Sequence[Series]],
    caption: str,
    scale: str = 'linear',
) -> Iterator[Figure]:
    """A figure of test error, one of training error and one of their difference, where there are
    such.

    Args:
        of_parts: series by 'test', 'training', 'gap'.
    """
    words = {
        'test': ('', 'Test error in training', 'test error', scale),
        'training': ('_training', 'Training error in training', 'training error', 'linear'),
        'gap': ('_gap', 'Gap in training', 'test error - training error', 'linear'),
    }
    for part, (suffix, title, y_label, y_scale) in words.items():
        if of_parts[part] or part == 'test':
            labels = x_label, y_label
            yield Figure(f'{name}{suffix}', title, *labels, of_parts[part], scale, y_scale, caption)


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
