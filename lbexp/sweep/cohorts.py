"""The cohorts of a workdir: which there are, how far they are, and their rows put together."""

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
    there = cohort_tasks(workdir)
    planned, status = {trial for task in there for trial in task.trials}, statuses(workdir)
    fresh = {e['trial']: e for e in entries if e['trial'] not in planned}
    if fresh:
        pending = {trial: status.get(trial, {'status': 'pending'}) for trial in fresh}
        trials = {
            trial: configs.resolve(config, entry['overrides']) for trial, entry in fresh.items()
        }
        rounds = {trial: entry['round'] for trial, entry in fresh.items()}
        groups = [sorted(cohort.trials) for cohort in run.cohorts_of(trials, rounds, pending)]
        all_ = [{'round': task.round, 'trials': task.trials} for task in there]
        all_ += [{'round': rounds[members[0]], 'trials': members} for members in groups]
        replace(workdir / documents.COHORTS, json.dumps(all_, indent=1).encode())
    return cohort_tasks(workdir)


def is_through(task: CohortTask, status: dict[int, dict]) -> bool:
    """Whether nothing is left to do: so says its last attempt, or the workdir of a run that was
    begun directly.

    Args:
        status: of the workdir's trials.
    """
    if leases.latest(task.folder).state in leases.THROUGH:
        return True
    return all(trial in status for trial in task.trials) and run.through(status, task.trials)


def merge(workdir: pathlib.Path, given_up: Collection[int] = ()):
    """Puts the rows and statuses of all cohorts together, as a direct run would have written them.

    Args:
        given_up: numbers of the cohorts that failed too often.
    """
    begun = [task for task in cohort_tasks(workdir) if task.folder.exists()]
    in_cohorts = {trial for task in begun for trial in task.trials}
    lines = [
        line
        for trial, line in metrics_file.lines(workdir / 'metrics.jsonl')
        if trial not in in_cohorts
    ]
    for task in begun:
        lines += [line for _, line in metrics_file.lines(task.folder / 'metrics.jsonl')]
        _require(task)
    entries = record.read(workdir)['trials']
    status = {entry['trial']: {'status': 'pending', 'step': 0} for entry in entries}
    for trial, reached in statuses(workdir).items():
        if trial not in in_cohorts:
            status[trial] = reached
    for task in begun:
        reached = statuses(task.folder)
        if task.number in given_up:
            reached = {
                trial: {'step': 0, **reached.get(trial, {}), 'status': 'failed'}
                for trial in task.trials
            }
        status |= reached
    replace(workdir / 'metrics.jsonl', b''.join(lines))
    write_status(workdir, 'done' if run.through(status, list(status)) else 'running', status)
    _environment(workdir, begun)


def _require(task):
    """The rows and the statuses of a cohort that was said to be through."""
    path, expected = task.folder / 'metrics.jsonl', expected_rows(statuses(task.folder))
    lost = metrics_file.differences(path, metrics_file.count(metrics_file.lines(path)), expected)
    if (
        not lost
        and leases.latest(task.folder).state in leases.THROUGH
        and set(task.trials) - set(expected)
    ):
        lost = f'{task.folder / "status.json"}: found no end of trials that are through'
    if lost:
        raise Damaged(
            f'{lost}. Put a copy of the file back, or delete {task.folder}: the cohort '
            'then trains again'
        )


def _environment(workdir, begun):
    """Says in config.json where trials trained, not where they were planned: the machine of the
    first cohort."""
    path, document = workdir / 'config.json', record.read(workdir)
    environments = [
        environment for task in begun if (environment := record.read(task.folder)['environment'])
    ]
    if environments:
        there = {**environments[0], 'command': document['environment']['command']}
        if there != document['environment']:
            replace(path, json.dumps({**document, 'environment': there}, indent=1).encode())
