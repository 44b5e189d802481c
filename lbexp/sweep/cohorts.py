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
from lbexp.sweep import attempts


class Work(NamedTuple):
    """A cohort as a unit of work, with a folder of its own."""

    number: int
    round: int
    trials: list[int]  # numbers in the study, ascending
    folder: pathlib.Path


def works(workdir: pathlib.Path) -> list[Work]:
    """The cohorts planned so far."""
    path = workdir / documents.COHORTS
    planned = documents.document(path, list[documents.Cohort]) if path.exists() else []
    folder = lambda number: workdir / 'cohorts' / f'{number:05d}'
    return [
        Work(number, one['round'], one['trials'], folder(number))
        for number, one in enumerate(planned)
    ]


def plan(workdir: pathlib.Path, config: ConfigDict, entries: list[dict]) -> list[Work]:
    """The cohorts of all rounds; those of a round that has none yet are planned, as a direct run
    would."""
    there = works(workdir)
    planned, status = {trial for work in there for trial in work.trials}, statuses(workdir)
    fresh = {e['trial']: e for e in entries if e['trial'] not in planned}
    if fresh:
        pending = {trial: status.get(trial, {'status': 'pending'}) for trial in fresh}
        trials = {
            trial: configs.resolve(config, entry['overrides']) for trial, entry in fresh.items()
        }
        rounds = {trial: entry['round'] for trial, entry in fresh.items()}
        found = [sorted(cohort.trials) for cohort in run.cohorts_of(trials, rounds, pending)]
        all_ = [{'round': work.round, 'trials': work.trials} for work in there]
        all_ += [{'round': rounds[members[0]], 'trials': members} for members in found]
        replace(workdir / documents.COHORTS, json.dumps(all_, indent=1).encode())
    return works(workdir)


def is_through(work: Work, status: dict[int, dict]) -> bool:
    """Whether nothing is left to do: so says its last attempt, or the workdir of a run that was
    begun directly.

    Args:
        status: of the workdir's trials.
    """
    if attempts.latest(work.folder).state in attempts.THROUGH:
        return True
    return all(trial in status for trial in work.trials) and run.through(status, work.trials)


def merge(workdir: pathlib.Path, given_up: Collection[int] = ()):
    """Puts the rows and statuses of all cohorts together, as a direct run would have written them.

    Args:
        given_up: numbers of the cohorts that failed too often.
    """
    begun = [work for work in works(workdir) if work.folder.exists()]
    own = {trial for work in begun for trial in work.trials}
    lines = [
        line for trial, line in metrics_file.lines(workdir / 'metrics.jsonl') if trial not in own
    ]
    for work in begun:
        lines += [line for _, line in metrics_file.lines(work.folder / 'metrics.jsonl')]
        _require(work)
    entries = record.read(workdir)['trials']
    status = {entry['trial']: {'status': 'pending', 'step': 0} for entry in entries}
    status |= {trial: told for trial, told in statuses(workdir).items() if trial not in own}
    for work in begun:
        reached = statuses(work.folder)
        if work.number in given_up:
            reached = {
                trial: {'step': 0, **reached.get(trial, {}), 'status': 'failed'}
                for trial in work.trials
            }
        status |= reached
    replace(workdir / 'metrics.jsonl', b''.join(lines))
    write_status(workdir, 'done' if run.through(status, list(status)) else 'running', status)
    _environment(workdir, begun)


def _require(work):
    """The rows and the statuses of a cohort that was said to be through."""
    path, expected = work.folder / 'metrics.jsonl', expected_rows(statuses(work.folder))
    lost = metrics_file.differences(path, metrics_file.count(metrics_file.lines(path)), expected)
    if (
        not lost
        and attempts.latest(work.folder).state in attempts.THROUGH
        and set(work.trials) - set(expected)
    ):
        lost = f'{work.folder / "status.json"}: found no end of trials that are through'
    if lost:
        raise Damaged(
            f'{lost}. Put a copy of the file back, or delete {work.folder}: the cohort '
            'then trains again'
        )


def _environment(workdir, begun):
    """Says in config.json where trials trained, not where they were planned: the machine of the
    first cohort."""
    path, document = workdir / 'config.json', record.read(workdir)
    told = [
        environment for work in begun if (environment := record.read(work.folder)['environment'])
    ]
    if told:
        there = {**told[0], 'command': document['environment']['command']}
        if there != document['environment']:
            replace(path, json.dumps({**document, 'environment': there}, indent=1).encode())
