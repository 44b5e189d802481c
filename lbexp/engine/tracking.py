"""Rows on their way to trackers, which training does not wait for."""

import json
import pathlib
import queue
import threading
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from lbexp.config import lookup
from lbexp.engine import record
from lbexp.engine.metrics_file import lines
from lbexp.errors import describe
from lbexp.trackers import TrackedCohort, TrackedTrial, Tracker

PACE = 2.0  # s between two times that a tracker is handed rows
PATIENCE = 60.0  # s that the end of a cohort waits for a tracker


def build(names: Sequence[str]) -> dict[str, Tracker]:
    """The trackers of these names.

    Raises:
        Refusal: there is none of such a name, or what it needs is not installed.
    """
    return {name: lookup.build('tracker', {'name': name}) for name in names}


class Tracking:
    """The trackers of a cohort, each in a thread of its own."""

    def __init__(
        self, trackers: dict[str, Tracker], cohort: TrackedCohort, log: Callable[[str], Any]
    ):
        self._log = log
        self._threads = [_Thread(*tracker, cohort) for tracker in trackers.items()]

    def write(self, rows: list[dict]) -> None:
        """Hands rows on. What went wrong since the last ones is told."""
        for thread in self._threads:
            thread.rows.put(rows)
        self._tell()

    def finish(self, statuses: dict[int, str], patience: float = PATIENCE) -> None:
        """Returns when all trackers have all rows, or after `patience` seconds."""
        for thread in self._threads:
            thread.end(statuses)
        for thread in self._threads:
            thread.join(patience)
        self._tell()
        for thread in self._threads:
            if thread.is_alive() and patience:
                self._log(
                    f'tracker {thread.name}: still busy after {patience:.0f} s, and left alone; '
                    'all rows are in metrics.jsonl'
                )

    def _tell(self):
        for thread in self._threads:
            if thread.problem:
                self._log(f'tracker {thread.name}: {thread.problem}; training goes on without it')
                thread.problem = ''


class _Thread(threading.Thread):
    """Hands rows to a tracker. It ends no process, and no process waits for it at its end."""

    def __init__(self, name, tracker, cohort):
        super().__init__(name=name, daemon=True)
        self.rows = queue.SimpleQueue()  # lists of rows; None: there are no more
        self.problem = ''  # not told yet
        self._tracker, self._cohort = tracker, cohort
        self._ending, self._statuses = threading.Event(), {}
        self.start()

    def end(self, statuses):
        """No more rows come."""
        self._statuses = statuses
        self._ending.set()
        self.rows.put(None)

    def run(self):
        try:
            session = self._tracker.begin(self._cohort)
            while (rows := self._next()) is not None:
                self._tracker.write(session, rows)
                # What comes meanwhile is handed over together; the end does not wait.
                self._ending.wait(PACE)
            self._tracker.finish(session, self._statuses)
        # SystemExit, too: a library that exits would end this thread without a word.
        except (Exception, SystemExit) as error:
            self.problem = describe(error)

    def _next(self):
        """All rows that have come, at least one; None: there are no more."""
        rows = self.rows.get()
        if rows is None:
            return None
        rows = list(rows)
        while not self.rows.empty():
            more = self.rows.get()
            if more is None:
                self.rows.put(None)  # told the next time
                break
            rows += more
        return rows


def tracked_cohort(
    workdir: pathlib.Path, identity: str, trials: dict[int, dict[str, Any]], goes_on: bool
) -> TrackedCohort:
    """Trials that train together, as trackers are told of them.

    Args:
        identity: random hexadecimal digits, of config.json; '': there is none.
        trials: resolved configurations, by number; {}: nobody tracks them.
        goes_on: with the rows that there are.
    """
    if not trials:
        return TrackedCohort(_run_name(workdir), identity, workdir, [], [])
    rows = _rows_of(workdir / 'metrics.jsonl', trials) if goes_on else []
    entries = record.read(workdir)['trials']
    overrides = {entry['trial']: entry['overrides'] for entry in entries}
    tracked = []
    for number, config in trials.items():
        tracked.append(TrackedTrial(number, config, overrides.get(number, {})))
    # A workdir without config.json has no name.
    return TrackedCohort(_run_name(workdir), identity or uuid.uuid4().hex, workdir, tracked, rows)


def _rows_of(path, trials):
    """The rows of these trials in metrics.jsonl."""
    rows = []
    for trial, line in lines(path):
        if trial in trials:
            rows.append(json.loads(line))
    return rows


def _run_name(workdir):
    """The name of the workdir; of a cohort of a sweep, that of the sweep's."""
    workdir = workdir.absolute()
    if workdir.parent.name == 'cohorts':
        workdir = workdir.parent.parent
    return workdir.name
