"""status.json: how far each trial of a workdir is."""

import datetime
import json
import pathlib
import threading
import time
from typing import Any

from lbexp import documents
from lbexp.engine.metrics_file import Written, replace
from lbexp.parallel import hosts

THROUGH = ('done', 'diverged')
_SELDOM = 1.0  # seconds between two progress reports: each is synced to the disk


class Status:
    """The statuses of a run; each change is written whole. Two threads say what they know: one
    trains, one saves."""

    def __init__(self, workdir: pathlib.Path, trials: dict[int, dict]):
        self._workdir, self.trials = workdir, trials
        self._writing, self._written = threading.Lock(), -_SELDOM

    def update(self, changes: dict[int, dict], status: str = 'running'):
        """Fields of trials that have changed, durable when it returns."""
        with self._writing:
            for trial, fields in changes.items():
                self.trials[trial] = {**self.trials[trial], **fields}
            write_status(self._workdir, status, self.trials)
            self._written = time.monotonic()

    def progress(self, steps: dict[int, int]):
        """Steps reached, once in a while."""
        # Checkpoints, not status.json, say where a trial goes on: a step may be told late.
        if time.monotonic() - self._written > _SELDOM:
            self.update({trial: {'step': step} for trial, step in steps.items()})


def expected_rows(statuses: dict[int, dict]) -> dict[int, Written]:
    """The rows that trials have that are through; an older version did not say."""
    expected = {}
    for trial, fields in statuses.items():
        if fields['status'] in THROUGH and fields.get('rows') is not None:
            expected[trial] = Written(fields['rows'], bytes.fromhex(fields['digest']))
    return expected


def statuses(workdir: pathlib.Path) -> dict[int, dict]:
    """By trial, the status that status.json tells; empty when there is none.

    Raises:
        Refusal: status.json is damaged.
    """
    path = workdir / 'status.json'
    if not path.exists():
        return {}
    trials = documents.document(path, documents.Status)['trials']
    return {int(trial): fields for trial, fields in trials.items()}


def write_status(workdir: pathlib.Path, status: str, trials: dict[int, dict]):
    """Writes status.json whole: 'running', 'done', 'preempted' or 'failed', and each trial's status
    and step."""
    if hosts.is_primary():
        document: dict[str, Any] = {'status': status}
        if status == 'done':
            now = datetime.datetime.now().astimezone()
            document['ended'] = now.isoformat(timespec='seconds')
        document['trials'] = trials
        replace(workdir / 'status.json', json.dumps(document, indent=1).encode())
