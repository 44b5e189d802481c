"""Curves, table and figures of batch growth against learning-rate decay."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from lbexp.analysis import Figure, Series, Table, format_interval, interval
from lbexp.studies._comparison.arms import TuningResult

_RATE = 'optimizer.learning_rate'
Run = Mapping[str, np.ndarray]  # of an arm: step, epoch, ... [rows]; error [seeds, rows]


def runs_of(
    rows: Mapping[str, np.ndarray], tunings: Sequence[Mapping[str, TuningResult]]
) -> dict[str, Run]:
    """By arm, its reported trials of all tunings at their evaluations.

    Args:
        rows: of the workdir.
        tunings: what each found, by arm.

    Returns:
        Axes [rows], and 'error', the validation error [draws, rows], NaN where a trial diverged:
        the draws are the seeds of one tuning, or the means of several. The learning rate is that of
        the first tuning.
    """
    runs: dict[str, Run] = {}
    for name in tunings[0]:
        by_tuning = [tuned[name].trials for tuned in tunings]
        trials = list(itertools.chain.from_iterable(by_tuning))
        run = _run(rows, trials, len(by_tuning[0]))
        ends = np.cumsum([len(of_tuning) for of_tuning in by_tuning])
        runs[name] = {**run, 'error': _draws(np.split(run['error'], ends[:-1]))}
    return runs


def _draws(by_tuning):
    """[draws, rows]: the seeds of one tuning, or the means of several; NaN where one has none."""
    if len(by_tuning) == 1:
        return by_tuning[0]
    means = []
    for errors in by_tuning:
        none = np.full(errors.shape[1], np.nan)
        means.append(errors.mean(axis=0) if len(errors) else none)
    return np.stack(means)


def _run(rows, trials, count):
    """Columns of an arm's trials at its evaluations: axes [rows], and the validation error [trials,
    rows]; a trial that diverged ends in NaN.

    Args:
        count: of the first trials, those of the tuning whose learning rate is shown.
    """
    of_trials = [np.flatnonzero(rows['trial'] == trial) for trial in trials]
    longest = max(map(len, of_trials))

    def by_trial(name):
        values = np.full((len(trials), longest), np.nan)
        for place, places in enumerate(of_trials):
            values[place, : len(places)] = rows[name][places]
        return values

    accuracy = by_trial('validation_accuracy')
    # a row between evaluations has the training loss alone
    evaluated = np.isfinite(accuracy).any(axis=0)
    run = {'error': 1 - accuracy[:, evaluated]}
    for name in ('step', 'epoch', 'examples'):
        # Where a trial stands is the same for all of an arm.
        run[name] = np.nanmax(by_trial(name)[:, evaluated], axis=0)
    # that of the first trial which goes on longest
    rates = by_trial('learning_rate')[:count, evaluated]
    run['learning_rate'] = rates[np.isfinite(rates).sum(axis=1).argmax()]
    return run


def updates_saved(runs: Mapping[str, Run]) -> str:
    """'1581 updates instead of 4043 (61% fewer)'."""
    few, many = _updates(runs['growth']), _updates(runs['decay'])
    return f'{few} updates instead of {many} ({1 - few / many:.0%} fewer)'


def _updates(run):
    return int(run['step'][-1])


def _diverged(values):
    return int(np.sum(~np.isfinite(values)))


def arms_table(
    decay: TuningResult,
    runs: Mapping[str, Run],
    errors: Mapping[str, np.ndarray],
    differences: Mapping[str, np.ndarray],
    unit: str,
) -> Table:
    """A row for each arm.

    Args:
        decay: what tuning found for the arm that was tuned.
        errors: by arm, the test error of each draw.
        differences: by arm, the same less that of decay.
        unit: what was drawn: 'seeds' or 'tunings'.
    """
    columns = ['arm', 'batch sizes', 'learning rates', 'updates', 'epochs', unit, 'diverged']
    columns += ['test error', '- decay']
    rows = []
    for name, run in runs.items():
        sizes, rates = _phases(_batch_sizes(run)), _phases(run['learning_rate'])
        epochs = round(float(run['epoch'][-1]), 2)
        of_seeds = errors[name]
        difference = ''
        if name in differences:
            difference = format_interval(differences[name])
        rows.append(
            [
                name,
                sizes,
                rates,
                _updates(run),
                epochs,
                len(of_seeds),
                _diverged(of_seeds),
                format_interval(of_seeds),
                difference,
            ]
        )
    caption = (
        f'Medians over {unit} with exact 95 % intervals; differences in pairs. Batch sizes and '
        'rates as they stood at evaluations. Of the first tuning: learning rates tried for decay, '
        f'with validation error: {_tried(decay)}.'
    )
    return Table('Arms', columns, rows, caption)


def _tried(decay):
    """'0.01: 0.1234, 0.1: diverged', by rate."""
    rates = [point[_RATE] for point in decay.points]
    tried = []
    for rate, score in sorted(zip(rates, decay.scores.tolist(), strict=True)):
        outcome = f'{score:.4f}' if math.isfinite(score) else 'diverged'
        tried.append(f'{rate:.3g}: {outcome}')
    return ', '.join(tried)


def _batch_sizes(run):
    """Examples per update between evaluations."""
    examples = np.diff(run['examples'], prepend=0)
    updates = np.diff(run['step'], prepend=0)
    return examples / updates


def _phases(values):
    """The values that stay for more than one evaluation, in order; between two of them is a
    mixture."""
    phases = []
    for before, value in itertools.pairwise(values):
        if math.isclose(before, value, rel_tol=1e-6):
            phases.append(f'{value:.3g}')
    # each once
    return ', '.join(dict.fromkeys(phases))


def figures(runs: Mapping[str, Run], drawn: str) -> list[Figure]:
    """Validation error against epochs and against updates; rate over batch size.

    Args:
        drawn: what the lines and bands are, and how many draws they are of.
    """
    caption = f'{drawn} '
    epochs = caption + 'The claim is that decay and growth coincide; constant is the control.'
    updates = caption + 'The same curves: what growth saves.'
    scale = (
        'Rate over batch size, to which the noise scale of SGD is proportional; between two '
        'evaluations, as it was (of the first tuning).'
    )
    return [
        _error_figure('epochs', runs, 'epoch', epochs),
        _error_figure('updates', runs, 'step', updates),
        _noise_figure(runs, scale),
    ]


def _error_figure(name, runs, axis, caption):
    series = []
    for arm, run in runs.items():
        # of each evaluation, over seeds
        middle, low, high = zip(*map(interval, run['error'].T), strict=True)
        series.append(Series(arm, run[axis].tolist(), middle, low, high))
    label, title = 'validation error [fraction]', f'Validation error against {name}'
    return Figure(name, title, name, label, series, 'linear', 'log', caption)


def _noise_figure(runs, caption):
    series = []
    for arm, run in runs.items():
        noise = run['learning_rate'] / _batch_sizes(run)
        series.append(Series(arm, run['epoch'].tolist(), noise.tolist()))
    labels = 'epochs', 'rate / batch size'
    return Figure('noise', 'Noise scale', *labels, series, 'linear', 'log', caption)
