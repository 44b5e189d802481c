"""Brings cohorts to their ends by an executor: starts what nobody is at, waits for what somebody
is, tries again."""

import collections
import pathlib
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from lbexp.sweep import attempts
from lbexp.sweep.cohorts import Work
from lbexp.sweep.executors import Executor
from lbexp.sweep.worker import Task, log

_TOLD = 10.0  # seconds between two lines on how it goes
_LISTED = 16  # cohorts in such a line
_LOOK = 0.005  # seconds for each cohort that waits or trains: thousands are looked at less often


class How(NamedTuple):
    """How cohorts are brought to their ends."""

    executor: Executor
    # attempts at a cohort, those that were told to stop not counted, after which it is given up
    tries: int
    lost: float  # seconds without a sign of life after which an attempt counts as lost
    stop: Callable[[], bool]  # whether to stop
    tell: Callable[[str], Any]
    # Resolved configurations -> the fingerprint of their code and data.
    fingerprint: Callable[[list[dict]], dict[str, str]] = lambda trials: {}
    restart_lost: bool = False  # what lost its checkpoints or rows trains from the start


class Outcome(NamedTuple):
    """What became of the cohorts."""

    stopped: bool
    failed: dict[int, str]  # by number, why it was given up


class _Start(NamedTuple):
    handle: Any
    token: str
    after: int  # attempt before


def schedule(workdir: pathlib.Path, works: list[Work], how: How) -> Outcome:
    """Returns when each of `works` is through or given up; told to stop, when all that was started
    here has ended."""
    scheduled = _Schedule(workdir, works, how)
    while scheduled.open and not how.stop():
        scheduled.look()
        scheduled.start()
        scheduled.tell_now_and_then()
        if scheduled.open:
            time.sleep(max(how.executor.seconds, len(scheduled.open) * _LOOK))
    return Outcome(scheduled.stop(), scheduled.failed)


class _Schedule:
    def __init__(self, workdir, works, how):
        self.workdir, self.executor, self.tries = workdir, how.executor, how.tries
        self.lost, self.tell, self.restart_lost = how.lost, how.tell, how.restart_lost
        self.open = {work.number: work for work in works}
        self.count, self.failed = len(works), {}
        self.mine = {}  # number -> _Start
        self.room = how.executor.room(len(works))
        self.ready = {}  # number -> the attempt after which it may start
        self.vain = collections.Counter()  # starts that never became an attempt
        # how the last start from here ended; attempts whose failure is told
        self.ends, self.said = {}, set()
        self.watch, self.told = attempts.Watch(how.lost), time.monotonic()

    def look(self):
        """At what was started here; where there is room for more, at every cohort that is not
        through."""
        self.ready = {}
        full = self.room is not None and len(self.mine) >= self.room
        for number in list(self.mine if full else self.open):
            work = self.open[number]
            over = self._over(number)
            now = attempts.latest(work.folder)
            if now.state in attempts.THROUGH:
                self._close(number)
                self.tell(
                    f'cohort {number}: {now.state}, on {now.host}; '
                    f'{self.count - len(self.open)}/{self.count}'
                )
            elif over == '':
                self._still(work, self.mine[number], now)
            elif over is not None:
                self._ended(work, self.mine.pop(number), now, over)
            elif now.state != 'running' or self.watch.is_lost(work.folder, now):
                self._again(work, now)

    def start(self):
        """What is ready, as far as there is room."""
        room = None if self.room is None else max(self.room - len(self.mine), 0)
        chosen = list(self.ready.items())[:room]
        tasks = []
        for number, now in chosen:
            token = uuid.uuid4().hex
            task = Task(
                str(self.workdir.absolute()), number, token, now.number, now.beat, self.lost
            )
            tasks.append(task._replace(restart_lost=self.restart_lost))
        if tasks:
            for task, handle in zip(tasks, self.executor.submit(tasks), strict=True):
                self.mine[task.number] = _Start(handle, task.token, task.after)

    def stop(self) -> bool:
        """Whether something was left to do. Returns when all that was started here has saved and
        ended."""
        if not self.open:
            return False
        for number, start in self.mine.items():
            folder = self.open[number].folder
            folder.mkdir(parents=True, exist_ok=True)
            attempts.stop_file(folder, start.token).touch()
            self.executor.cancel(start.handle)
        while any(self._over(number) == '' for number in self.mine):
            time.sleep(self.executor.seconds)
        for number, start in self.mine.items():
            attempts.stop_file(self.open[number].folder, start.token).unlink(missing_ok=True)
        return True

    def tell_now_and_then(self):
        if time.monotonic() - self.told > _TOLD:
            self.told = time.monotonic()
            latest = {number: attempts.latest(work.folder) for number, work in self.open.items()}
            running = {
                n: a for n, a in latest.items() if a.state == 'running' and not self._is_lost(n, a)
            }
            shares = [f'{n} ({progress(a) or "starting"})' for n, a in running.items()]
            more = f', and {len(shares) - _LISTED} more' if len(shares) > _LISTED else ''
            done = self.count - len(self.open)
            listed = ', '.join(shares[:_LISTED]) + more or 'none yet'
            self.tell(f'{done}/{self.count} cohorts through; running: {listed}')

    def _is_lost(self, number, attempt):
        return self.watch.is_lost(self.open[number].folder, attempt)

    def _over(self, number):
        """How the start from here has ended, in words; '': it has not; None: there is none."""
        if number not in self.mine:
            return None
        return self.executor.over(self.mine[number].handle) or ''

    def _still(self, work, start, now):
        """A start that its executor takes for alive is not, where it gives no sign of life."""
        own = now.state == 'running' and now.token == start.token
        if own and self.watch.is_silent(work.folder, now):
            self.executor.cancel(start.handle, kill=True)
            self._ended(
                work, self.mine.pop(work.number), now, self.executor.over(start.handle) or ''
            )

    def _ended(self, work, start, now, over):
        self.ends[work.number] = over
        if now.number == start.after:  # nobody took the cohort
            self.vain[work.number] += 1
            self.tell(
                f'cohort {work.number}: a start came to nothing: {over}; see {log(work.folder)}'
            )

    def _again(self, work, now):
        """Ready to be started, unless it was tried too often."""
        counted = [one for one in attempts.history(work.folder) if one.state != 'preempted']
        told = told_of(now, work.folder, self.ends.get(work.number, ''))
        if len(counted) + self.vain[work.number] >= self.tries:
            self.failed[work.number] = told or 'no process came up'
            self._close(work.number)
            self.tell(
                f'cohort {work.number}: given up after {self.tries} attempts: '
                f'{self.failed[work.number]}'
            )
            return
        if told and (work.number, now.number) not in self.said:
            self.said.add((work.number, now.number))
            self.tell(f'cohort {work.number}: attempt {now.number} {told}; once more')
        self.ready[work.number] = now

    def _close(self, number):
        del self.open[number]
        self.mine.pop(number, None)


def progress(attempt: attempts.Attempt) -> str:
    """How much of its updates an attempt has done; '' where it does not say yet."""
    return f'{attempt.step / attempt.steps:.0%}' if attempt.steps else ''


def told_of(attempt: attempts.Attempt, folder: pathlib.Path, end: str = '') -> str:
    """What went wrong with an attempt that has ended or is lost; '' where nothing did.

    Args:
        end: what its executor says of its end.
    """
    where = f'on {attempt.host}, process {attempt.pid}'
    if attempt.state == 'failed':
        return f'failed {where}: {attempt.cause}; see {log(folder)}'
    if attempt.state != 'running':
        return ''
    printed = log(folder).read_text(errors='replace').split('\n') if log(folder).exists() else []
    last = next((line for line in reversed(printed) if line.strip()), '')
    return (
        f'lost {where} ({end or "killed, or its machine is gone"}); it printed last: '
        f'{last[:300]}; see {log(folder)}'
    )
