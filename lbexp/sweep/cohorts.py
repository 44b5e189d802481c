"""The cohorts of a workdir: which there are, how far they are, and their rows put together."""

import json
import pathlib
from collections.abc import Collection
from typing import NamedTuple

from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp.engine import record, run
from lbexp.engine.rows import replace
from lbexp.sweep import attempts

_PLAN = 'cohorts.json'


class Work(NamedTuple):
    """A cohort as a unit of work, with a folder of its own."""

    number: int
    round: int
    trials: list[int]  # numbers in the study, ascending
    folder: pathlib.Path


def works(workdir: pathlib.Path) -> list[Work]:
    """The cohorts planned so far."""
    path = workdir / _PLAN
    planned = json.loads(path.read_text()) if path.exists() else []
    folder = lambda number: workdir / 'cohorts' / f'{number:05d}'
    return [Work(number, one['round'], one['trials'], folder(number)) for number, one in enumerate(planned)]


def plan(workdir: pathlib.Path, config: ConfigDict, entries: list[dict]) -> list[Work]:
    """The cohorts of all rounds; those of a round that has none yet are planned, as a direct run would."""
    there = works(workdir)
    planned, status = {trial for work in there for trial in work.trials}, record.statuses(workdir)
    fresh = {e['trial']: e for e in entries if e['trial'] not in planned}
    if fresh:
        pending = {trial: status.get(trial, {'status': 'pending'}) for trial in fresh}
        trials = {trial: configs.resolve(config, entry['overrides']) for trial, entry in fresh.items()}
        rounds = {trial: entry['round'] for trial, entry in fresh.items()}
        found = [sorted(cohort.trials) for cohort in run.cohorts_of(trials, rounds, pending)]
        all_ = [{'round': work.round, 'trials': work.trials} for work in there]
        all_ += [{'round': rounds[members[0]], 'trials': members} for members in found]
        replace(workdir / _PLAN, json.dumps(all_, indent=1).encode())
    return works(workdir)


def is_through(work: Work, status: dict[int, dict]) -> bool:
    """Whether nothing is left to do: so says its last attempt, or the workdir of a run that was begun directly.

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
    lines = [line for line in _lines(workdir) if json.loads(line)['trial'] not in own]
    for work in begun:
        lines += _lines(work.folder)
    entries = json.loads((workdir / 'config.json').read_text())['trials']
    status = {entry['trial']: {'status': 'pending', 'step': 0} for entry in entries}
    status |= {trial: told for trial, told in record.statuses(workdir).items() if trial not in own}
    for work in begun:
        reached = record.statuses(work.folder)
        if work.number in given_up:
            reached = {trial: {'step': 0, **reached.get(trial, {}), 'status': 'failed'} for trial in work.trials}
        status |= reached
    replace(workdir / 'metrics.jsonl', b''.join(lines))
    record.write_status(workdir, 'done' if run.through(status, list(status)) else 'running', status)
    _environment(workdir, begun)


def _lines(folder):
    """The complete rows of a folder, as they are: one that is just being written is left out."""
    path = folder / 'metrics.jsonl'
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith(b'\n')]


def _environment(workdir, begun):
    """Says in config.json where trials trained, not where they were planned: the machine of the first cohort."""
    path = workdir / 'config.json'
    document = json.loads(path.read_text())
    own = [work.folder / 'config.json' for work in begun]
    told = [json.loads(file.read_text())['environment'] for file in own if file.exists()]
    if told:
        there = {**told[0], 'command': document['environment']['command']}
        if there != document['environment']:
            replace(path, json.dumps({**document, 'environment': there}, indent=1).encode())
