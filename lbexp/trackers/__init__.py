"""A tracker shows the rows of a run somewhere else while they come. One file, one tracker; the
file's name is what --trackers takes.

`begin` is told of the trials of a cohort, once more whenever a run goes on; `write` gets rows in
the order in which they are written to metrics.jsonl; `finish` how each trial ended. All three are
called one after another, from a thread that training does not wait for, and on process 0 alone.
What they raise is told in a line, and training goes on without the tracker.

A row that a killed run wrote comes again, equal to the bit: a tracker that has it may leave it out.

    from lbexp.trackers import TrackedCohort, Tracker, numbers

    def one_table() -> Tracker:
        def begin(cohort: TrackedCohort):
            return open(cohort.workdir / 'all.csv', 'a')

        def write(table, rows):
            for row in rows:
                for name, value in numbers(row).items():
                    print(row['trial'], row['step'], name, value, sep=',', file=table)

        return Tracker(begin, write, finish=lambda table, statuses: table.close())
"""

import math
import pathlib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from lbexp.results.metrics import PROGRESS

# By the beginning of a column's name, the group of its tag.
_SETS = {'test_': 'test', 'validation_': 'validation', 'train_': 'train_evaluation'}


class TrackedTrial(NamedTuple):
    """A trial, for somebody who has not seen the others."""

    number: int  # in the study
    config: dict[str, Any]  # resolved, plain data
    overrides: dict[str, Any]  # {path: value}: what sets it apart from the others of the run


class TrackedCohort(NamedTuple):
    """Trials that train together, and what is known of them when they begin or go on."""

    run: str  # the name of the workdir
    identity: str  # random hexadecimal digits, the same when the run goes on
    workdir: pathlib.Path  # where files of the tracker may lie
    trials: list[TrackedTrial]
    rows: list[dict[str, Any]]  # those of metrics.jsonl so far: empty, unless the run goes on

    def key(self, trial: TrackedTrial) -> str:
        """What names the trial among all of all runs, and again when the run goes on."""
        return f'{self.identity}-{trial.number:05d}'


class Tracker(NamedTuple):
    """Functions; the session is whatever `begin` returns."""

    begin: Callable[[TrackedCohort], Any]  # -> session
    write: Callable[[Any, list[dict[str, Any]]], Any]  # (session, rows)
    # (session, {trial: 'done', 'diverged', 'running' (stopped, to go on later) or 'failed'})
    finish: Callable[[Any, dict[int, str]], Any]


def tag(column: str) -> str:
    """The name of a column of metrics.jsonl with the set that it is of.

    'test/accuracy' of 'test_accuracy', 'train/loss' of 'loss', which is of the batches that are
    trained on, 'train_evaluation/loss' of 'train_loss', which is of training examples as they are
    evaluated (`evaluate_train`), 'progress/epoch' of 'epoch'.
    """
    if column in PROGRESS:
        return f'progress/{column}'
    for beginning, group in _SETS.items():
        if column.startswith(beginning):
            return f'{group}/{column.removeprefix(beginning)}'
    return f'train/{column}'


def numbers(row: dict[str, Any]) -> dict[str, float]:
    """{tag: value} of what is a finite number in a row, without the trial and the step; yes is
    1, no is 0."""
    values = {}
    for column, value in row.items():
        if column in ('trial', 'step') or value is None or isinstance(value, str) or np.ndim(value):
            continue
        if isinstance(value, (bool, np.bool_)):
            values[tag(column)] = float(value)
        elif math.isfinite(value):
            # of a float32 the digits that metrics.jsonl has
            values[tag(column)] = float(str(value))
    return values


def by_trial(rows: Iterable[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """The rows of each trial, in their order."""
    grouped = {}
    for row in rows:
        grouped.setdefault(row['trial'], []).append(row)
    return grouped


def label(trial: TrackedTrial) -> str:
    """'trial 3: optimizer.learning_rate=0.1, seed=2'."""
    values = [f'{path}={value}' for path, value in trial.overrides.items()]
    return ': '.join(filter(None, [f'trial {trial.number}', ', '.join(values)]))


def hyperparameters(trial: TrackedTrial) -> dict[str, bool | float | str]:
    """{path: value} of what the optimizer, the schedule and the batch are, and of what sets the
    trial apart; what is no number is text."""
    flat = {}
    for field in ('workload', 'optimizer', 'schedule', 'batch_size', 'seed'):
        flat |= _flattened(field, trial.config[field])
    for path, value in trial.overrides.items():
        flat |= _flattened(path, value)
    return flat


def _flattened(path, value):
    if isinstance(value, dict):
        flat = {}
        for name, inner in value.items():
            flat |= _flattened(f'{path}.{name}', inner)
        return flat
    if isinstance(value, (bool, int, float)):
        return {path: value}
    return {path: str(value)}
