"""The cohorts of a workdir: which there are, how far they are, and their rows put together."""

import contextlib
import itertools
import json
import pathlib
from collections.abc import Collection
from typing import NamedTuple

from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp import documents
from lbexp.engine import metrics_file, record, run
from lbexp.engine.metrics_file import replace
from lbexp.engine.status import expected_rows, statuses, write_status
from lbexp.errors import Damaged
from lbexp.sweep import leases


class CohortTask(NamedTuple):
    """A cohort as a unit of work, with a folder of its own."""

    number: int
    round: int
    trials: list[int]  # numbers in the study, ascending
    folder: pathlib.Path


def cohort_tasks(workdir: pathlib.Path) -> list[CohortTask]:
    """The cohorts planned so far."""
    path = workdir / documents.COHORTS
    planned = documents.document(path, list[documents.Cohort]) if path.exists() else []
    tasks = []
    for number, cohort in enumerate(planned):
        folder = workdir / 'cohorts' / f'{number:05d}'
        tasks.append(CohortTask(number, cohort['round'], cohort['trials'], folder))
    return tasks


def plan(workdir: pathlib.Path, config: ConfigDict, entries: list[dict]) -> list[CohortTask]:
    """The cohorts of all rounds; those of a round that has none yet are planned, as a direct run
    would."""
    tasks = cohort_tasks(workdir)
    planned, status = _trials_of(tasks), statuses(workdir)
    resolved, rounds, pending = {}, {}, {}
    for entry in entries:
        trial = entry['trial']
        if trial not in planned:
            resolved[trial] = configs.resolve(config, entry['overrides'])
            rounds[trial] = entry['round']
            pending[trial] = status.get(trial, {'status': 'pending'})
    if not resolved:
        return tasks
    # Cohorts keep their numbers, which name their folders: new ones come behind.
    cohorts = [{'round': task.round, 'trials': task.trials} for task in tasks]
    for cohort in run.cohorts_of(resolved, rounds, pending):
        trials = sorted(cohort.trials)
        cohorts.append({'round': rounds[trials[0]], 'trials': trials})
    replace(workdir / documents.COHORTS, json.dumps(cohorts, indent=1).encode())
    return cohort_tasks(workdir)


def _trials_of(tasks):
    return set(itertools.chain.from_iterable(task.trials for task in tasks))


def mutex(
    workdir: pathlib.Path, heartbeat_timeout: float
) -> contextlib.AbstractContextManager[None]:
    """One process at a time inside plans cohorts or puts their rows together."""
    return leases.mutex(workdir / 'cohorts' / 'mutex', heartbeat_timeout)


def is_through(task: CohortTask, status: dict[int, dict]) -> bool:
    """Whether nothing is left to do: so says its last attempt, or the workdir of a run that was
    begun directly.

    Args:
        status: of the workdir's trials.
    """
    if leases.latest(task.folder).state in leases.THROUGH:
        return True
    return status.keys() >= set(task.trials) and run.through(status, task.trials)


def merge(workdir: pathlib.Path, given_up: Collection[int] = ()):
    """Puts the rows and statuses of all cohorts together, as a direct run would have written them.

    Args:
        given_up: numbers of the cohorts that failed too often.
    """
    begun = [task for task in cohort_tasks(workdir) if task.folder.exists()]
    in_cohorts = _trials_of(begun)
    # The workdir's own rows and statuses are those of a run that was begun directly.
    lines = []
    for trial, line in metrics_file.lines(workdir / 'metrics.jsonl'):
        if trial not in in_cohorts:
            lines.append(line)
    status = {}
    for entry in record.read(workdir)['trials']:
        status[entry['trial']] = {'status': 'pending', 'step': 0}
    for trial, reached in statuses(workdir).items():
        if trial not in in_cohorts:
            status[trial] = reached
    for task in begun:
        lines += [line for _, line in metrics_file.lines(task.folder / 'metrics.jsonl')]
        _require(task)
        status |= _failed_statuses(task) if task.number in given_up else statuses(task.folder)
    # Rows before statuses: a kill between these two leaves trials that are not through yet, and
    # the next merge puts both right.
    replace(workdir / 'metrics.jsonl', b''.join(lines))
    is_through = run.through(status, list(status))
    write_status(workdir, 'done' if is_through else 'running', status)
    _record_environment(workdir, begun)


def _failed_statuses(task):
    """The statuses of a cohort that was given up."""
    reached = statuses(task.folder)
    failed = {}
    for trial in task.trials:
        failed[trial] = {'step': 0, **reached.get(trial, {}), 'status': 'failed'}
    return failed


def _require(task):
    """The rows and the statuses of a cohort that was said to be through."""
    path, expected = task.folder / 'metrics.jsonl', expected_rows(statuses(task.folder))
    lost = metrics_file.differences(path, metrics_file.count(metrics_file.lines(path)), expected)
    is_through = leases.latest(task.folder).state in leases.THROUGH
    if not lost and is_through and set(task.trials) - set(expected):
        lost = f'{task.folder / "status.json"}: found no end of trials that are through'
    if lost:
        raise Damaged(
            f'{lost}. Put a copy of the file back, or delete {task.folder}: the cohort '
            'then trains again'
        )


def _record_environment(workdir, begun):
    """Says in config.json where trials trained, not where they were planned: the machine of the
    first cohort."""
    path, document = workdir / 'config.json', record.read(workdir)
    environments = [record.read(task.folder)['environment'] for task in begun]
    of_first = next(filter(None, environments), None)
    if of_first is None:
        return
    environment = {**of_first, 'command': document['environment']['command']}
    if environment != document['environment']:
        document = {**document, 'environment': environment}
        replace(path, json.dumps(document, indent=1).encode())
