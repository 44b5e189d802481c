"""Attempts at a piece of work: who is at it, when he last gave a sign of life, and how it ended;
one file each.

Whoever creates attempt-0002.json has the work, until the file says how it ended, or until
attempt-0003.json is there: the number of an attempt is a lease that two cannot take, on every file
system that creates a file once, and that nobody has to give back. A holder that was thought dead
sees the next number and ends at once.
"""

import contextlib
import json
import os
import pathlib
import threading
import time
import typing
import uuid
from collections.abc import Generator
from typing import NamedTuple

from lbexp import documents, owner
from lbexp.engine.metrics_file import replace
from lbexp.errors import Refusal

THROUGH = ('done', 'diverged')
_HEARTBEATS = 6  # in the time after which an attempt counts as lost
_PROGRESS = 2.0  # seconds between two heartbeats that say more of the progress


class Attempt(NamedTuple):
    """What the file of an attempt says."""

    number: int = 0
    token: str = ''  # whose start this is
    host: str = 'unknown'
    place: str = ''  # within which a pid means one process
    pid: int = 0
    started: str = ''  # when that process did: pids come again
    heartbeat: int = 0  # how many so far
    at: float = 0.0  # of the last one, by the clock of its host [s]
    step: int = 0  # updates done, over all trials
    steps: int = 0  # updates to do
    state: str = 'running'  # then 'done', 'diverged' (every trial), 'failed', 'preempted'
    cause: str = ''  # of a failure
    heartbeat_timeout: float = 120.0  # seconds without one after which it counts as lost


# The same as a type that a file is held against: a NamedTuple would be read from a list.
_Content = typing.TypedDict(  # pyrefly: ignore[invalid-argument]: it is a dict of types
    '_Content', Attempt.__annotations__, total=False
)


def history(folder: pathlib.Path) -> list[Attempt]:
    """All attempts, oldest first."""
    return [_read(folder, number) for number in _numbers(folder)]


def counted_attempts(folder: pathlib.Path) -> int:
    """How many attempts there were, those that were told to stop left out."""
    return sum(attempt.state != 'preempted' for attempt in history(folder))


def latest(folder: pathlib.Path) -> Attempt:
    """The last attempt; number 0, 'pending', before the first."""
    numbers = _numbers(folder)
    if not numbers:
        return Attempt(state='pending')
    return _read(folder, numbers[-1])


def take(
    folder: pathlib.Path, after: Attempt, token: str, heartbeat_timeout: float
) -> 'Lease | None':
    """The work, as the attempt after `after`; None: another has it, or that attempt lives.

    Args:
        token: names this start.
        heartbeat_timeout: seconds without a heartbeat after which this attempt will count as lost.
    """
    last = latest(folder)
    # A heartbeat since it was thought lost: it lives.
    is_alive = last.state == 'running' and last.heartbeat != after.heartbeat
    if last.number != after.number or is_alive:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    # Of two that come to this line at once, one creates the file: 'x' refuses the other.
    try:
        with open(_file(folder, after.number + 1), 'x'):
            pass
    except FileExistsError:
        return None
    return Lease(folder, after.number + 1, token, heartbeat_timeout)


class Lease:
    """An attempt of this process. A thread writes its heartbeats until `end`."""

    def __init__(self, folder: pathlib.Path, number: int, token: str, heartbeat_timeout: float):
        self._folder = folder
        self._ended = threading.Event()
        self._writing = threading.Lock()  # the training thread and the beating one both write
        self._asked = self._written = 0.0  # when last, by the monotonic clock
        self.attempt = Attempt(number, token, **owner.owner(), heartbeat_timeout=heartbeat_timeout)
        self._write(heartbeat=1)
        interval = heartbeat_timeout / _HEARTBEATS
        threading.Thread(
            target=self._keep_beating, args=(interval,), daemon=True, name='attempt'
        ).start()

    def should_stop(self) -> bool:
        """Whether somebody wants this attempt to stop; ends the process where another attempt has
        begun."""
        # Training asks in every segment; the disk, which may be a network's, is asked less often.
        if time.monotonic() - self._asked > 0.5:
            self._asked = time.monotonic()
            self._exit_if_superseded()
            return stop_file(self._folder, self.attempt.token).exists()
        return False

    def progress(self, step: int, steps: int):
        """How far it is: written at once, where the last heartbeat is not quite new."""
        self.attempt = self.attempt._replace(step=step, steps=steps)
        if time.monotonic() - self._written > _PROGRESS:
            self._beat_if_possible()

    def end(self, state: str, cause: str = ''):
        """Says how it ended, and gives the work up."""
        self._ended.set()
        self._exit_if_superseded()
        self._write(state=state, cause=cause)
        stop_file(self._folder, self.attempt.token).unlink(missing_ok=True)

    def _keep_beating(self, seconds):
        while not self._ended.wait(seconds):
            self._exit_if_superseded()
            self._beat_if_possible()

    def _beat_if_possible(self):
        # a full disk ends training, which says so; it does not end this
        with contextlib.suppress(OSError):
            self._write()

    def _exit_if_superseded(self):
        if _file(self._folder, self.attempt.number + 1).exists():
            print('lbexp: thought lost, and another has begun: this process ends', flush=True)
            # Not sys.exit, which ends a thread alone: training would go on, and write.
            os._exit(1)

    def _write(self, **changes):
        with self._writing:
            # A heartbeat that waited for the last word must not be written over it.
            if self._ended.is_set() and not changes:
                return
            self._written = time.monotonic()
            beat = self.attempt.heartbeat + 1
            self.attempt = self.attempt._replace(heartbeat=beat, at=time.time())
            self.attempt = self.attempt._replace(**changes)
            path = _file(self._folder, self.attempt.number)
            replace(path, json.dumps(self.attempt._asdict()).encode())


class HeartbeatMonitor:
    """Tells which attempts are lost, by the observer's own clock: those of different hosts need not
    agree.

    Args:
        timeout: seconds in which an attempt must give a heartbeat.
    """

    def __init__(self, timeout: float):
        self._timeout = timeout
        self._seen: dict[pathlib.Path, tuple[tuple[int, str, int], float]] = {}

    def is_lost(self, folder: pathlib.Path, attempt: Attempt) -> bool:
        """Whether a running attempt is dead: at once on this host, elsewhere after a while without
        a heartbeat."""
        return dead(attempt) or self.is_silent(folder, attempt)

    def is_silent(self, folder: pathlib.Path, attempt: Attempt) -> bool:
        """Whether the last heartbeat that was seen was first seen too long ago."""
        now, heartbeat = time.monotonic(), (attempt.number, attempt.token, attempt.heartbeat)
        last_heartbeat, since = self._seen.get(folder, (None, now))
        if heartbeat != last_heartbeat:
            since = now
            self._seen[folder] = heartbeat, since
        return now - since > self._timeout


@contextlib.contextmanager
def mutex(folder: pathlib.Path, heartbeat_timeout: float) -> Generator[None, None, None]:
    """One process at a time inside, for moments; others wait."""
    monitor = HeartbeatMonitor(heartbeat_timeout)
    while True:
        last = latest(folder)
        if last.state != 'running' or monitor.is_lost(folder, last):
            lease = take(folder, last, uuid.uuid4().hex, heartbeat_timeout)
            if lease is not None:
                break
        time.sleep(0.02)
    try:
        yield
    finally:
        lease.end('done')
        # The last file stays: its number is what the next one counts from.
        for number in _numbers(folder):
            if number < lease.attempt.number:
                _file(folder, number).unlink(missing_ok=True)


def stop_file(folder: pathlib.Path, token: str) -> pathlib.Path:
    """The file that asks the start of this token to save and stop."""
    return folder / f'stop-{token}'


def dead(attempt: Attempt) -> bool:
    """Whether the process of an attempt has ended, as far as can be seen from here."""
    return owner.is_gone(attempt._asdict())


def _numbers(folder):
    if not folder.is_dir():
        return []
    # Beside them lie others: files that are just being written, and those that ask to stop.
    return sorted(
        int(name[8:12])
        for name in os.listdir(folder)
        if name.startswith('attempt-') and name.endswith('.json')
    )


def _file(folder, number):
    return folder / f'attempt-{number:04d}.json'


def _read(folder, number):
    try:
        content = documents.document(_file(folder, number), _Content)
        # An older version wrote other names; what it wrote of these is still true.
        known = content.keys() & set(Attempt._fields)
        return Attempt(**{name: content[name] for name in known})
    except (OSError, Refusal):  # it is just being begun
        return Attempt(number)
