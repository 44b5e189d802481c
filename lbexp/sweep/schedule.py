"""Brings cohorts to their ends by an executor: starts what nobody is at, waits for what somebody
is, tries again."""

import collections
import itertools
import pathlib
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lbexp.sweep import leases
from lbexp.sweep.cohorts import CohortTask
from lbexp.sweep.executors import Executor
from lbexp.sweep.worker import WorkerArguments, log

_REPORTED = 10.0  # seconds between two lines on how it goes
_LISTED = 16  # cohorts in such a line
_LOOK = 0.005  # seconds for each cohort that waits or trains: thousands are looked at less often


class SchedulerOptions(NamedTuple):
    """How cohorts are brought to their ends."""

    executor: Executor
    # attempts at a cohort, those that were told to stop not counted, after which it is given up
    max_attempts: int
    heartbeat_timeout: float  # seconds without a heartbeat after which an attempt counts as lost
    should_stop: Callable[[], bool]
    log: Callable[[str], Any]
    # Resolved configurations -> the fingerprint of their code and data.
    fingerprint: Callable[[list[dict]], dict[str, str]] = lambda trials: {}
    restart_lost: bool = False  # what lost its checkpoints or rows trains from the start
    docstring: str = ''  # of the experiment file
    trackers: Sequence[str] = ('tensorboard',)  # what shows rows elsewhere


class Outcome(NamedTuple):
    """What became of the cohorts."""

    stopped: bool
    failed: dict[int, str]  # by number, why it was given up


class _Start(NamedTuple):
    handle: Any
    token: str
    after: int  # attempt before


def schedule(workdir: pathlib.Path, tasks: list[CohortTask], options: SchedulerOptions) -> Outcome:
    """Returns when each of `tasks` is through or given up; told to stop, when all that was started
    here has ended."""
    scheduler = _Scheduler(workdir, tasks, options)
    executor = options.executor
    while scheduler.open and not options.should_stop():
        scheduler.look()
        scheduler.start()
        scheduler.log_now_and_then()
        if scheduler.open:
            time.sleep(max(executor.seconds, len(scheduler.open) * _LOOK))
    return Outcome(scheduler.stop(), scheduler.failed)


class _Scheduler:
    def __init__(self, workdir, tasks, options):
        self.workdir = workdir
        self.options = options
        self.executor = options.executor
        self.count = len(tasks)
        self.capacity = self.executor.capacity(len(tasks))
        # By number of the cohort:
        self.open = {task.number: task for task in tasks}
        self.failed: dict[int, str] = {}
        self.mine: dict[int, _Start] = {}  # what was started here and has not ended
        self.ready: dict[int, leases.Attempt] = {}  # the attempt after which it starts
        self.vain = collections.Counter()  # starts that never became an attempt
        self.exit_reasons: dict[int, str] = {}  # of the last start from here
        self.logged: set[tuple[int, int]] = set()  # attempts whose failure was logged
        self.monitor = leases.HeartbeatMonitor(options.heartbeat_timeout)
        self.last_line = time.monotonic()

    def look(self):
        """At what was started here; where there is capacity for more, at every cohort that is not
        through."""
        self.ready = {}
        numbers = list(self.open)
        if self.capacity is not None and len(self.mine) >= self.capacity:
            numbers = list(self.mine)
        for number in numbers:
            self._look_at(self.open[number])

    def _look_at(self, task):
        exit_reason = self._exit_reason(task.number)
        # The file is read after the executor was asked: a process that ends writes, then leaves.
        attempt = leases.latest(task.folder)
        if attempt.state in leases.THROUGH:
            self._close(task.number)
            done = f'{self.count - len(self.open)}/{self.count}'
            self.options.log(f'cohort {task.number}: {attempt.state}, on {attempt.host}; {done}')
        elif exit_reason == '':
            self._end_silent(task, self.mine[task.number], attempt)
        elif exit_reason is not None:
            self._note_end(task, self.mine.pop(task.number), attempt, exit_reason)
        elif attempt.state != 'running' or self.monitor.is_lost(task.folder, attempt):
            self._make_ready(task, attempt)

    def start(self):
        """What is ready, as far as there is capacity."""
        free = None
        if self.capacity is not None:
            free = max(self.capacity - len(self.mine), 0)
        ready = itertools.islice(self.ready.items(), free)
        batch = list(itertools.starmap(self._worker_arguments, ready))
        if not batch:
            return
        handles = self.executor.submit(batch)
        for arguments, handle in zip(batch, handles, strict=True):
            self.mine[arguments.number] = _Start(handle, arguments.token, arguments.after)

    def _worker_arguments(self, number, attempt):
        return WorkerArguments(
            workdir=str(self.workdir.absolute()),
            number=number,
            token=uuid.uuid4().hex,
            after=attempt.number,
            heartbeat=attempt.heartbeat,
            heartbeat_timeout=self.options.heartbeat_timeout,
            restart_lost=self.options.restart_lost,
            trackers=self.options.trackers,
        )

    def stop(self) -> bool:
        """Whether something was left to do. Returns when all that was started here has saved and
        ended."""
        if not self.open:
            return False
        for number, start in self.mine.items():
            folder = self.open[number].folder
            folder.mkdir(parents=True, exist_ok=True)
            # The file reaches a process on another host, whatever becomes of the executor's signal.
            leases.stop_file(folder, start.token).touch()
            self.executor.cancel(start.handle)
        while any(self._exit_reason(number) == '' for number in self.mine):
            time.sleep(self.executor.seconds)
        for number, start in self.mine.items():
            leases.stop_file(self.open[number].folder, start.token).unlink(missing_ok=True)
        return True

    def log_now_and_then(self):
        if time.monotonic() - self.last_line <= _REPORTED:
            return
        self.last_line = time.monotonic()
        running = []
        for number, task in self.open.items():
            attempt = leases.latest(task.folder)
            if attempt.state == 'running' and not self.monitor.is_lost(task.folder, attempt):
                running.append(f'{number} ({progress(attempt) or "starting"})')
        unlisted = len(running) - _LISTED
        if unlisted > 0:
            running[_LISTED:] = [f'and {unlisted} more']
        listed = ', '.join(running) or 'none yet'
        through = self.count - len(self.open)
        self.options.log(f'{through}/{self.count} cohorts through; running: {listed}')

    def _exit_reason(self, number):
        """How the start from here has ended, in words; '': it has not; None: there is none."""
        if number not in self.mine:
            return None
        return self.executor.exit_reason(self.mine[number].handle) or ''

    def _end_silent(self, task, start, attempt):
        """A start that its executor takes for alive is not, where it gives no heartbeat."""
        is_own = attempt.state == 'running' and attempt.token == start.token
        if is_own and self.monitor.is_silent(task.folder, attempt):
            self.executor.cancel(start.handle, kill=True)
            exit_reason = self.executor.exit_reason(start.handle) or ''
            self._note_end(task, self.mine.pop(task.number), attempt, exit_reason)

    def _note_end(self, task, start, attempt, exit_reason):
        self.exit_reasons[task.number] = exit_reason
        if attempt.number == start.after:  # nobody took the cohort
            # It leaves no file of an attempt: not counted here, it would be started for ever.
            self.vain[task.number] += 1
            self.options.log(
                f'cohort {task.number}: a start came to nothing: {exit_reason}; '
                f'see {log(task.folder)}'
            )

    def _make_ready(self, task, attempt):
        """Ready to be started, unless it was tried too often."""
        counted = leases.counted_attempts(task.folder) + self.vain[task.number]
        problem = describe_failure(attempt, task.folder, self.exit_reasons.get(task.number, ''))
        if counted >= self.options.max_attempts:
            self.failed[task.number] = problem or 'no process came up'
            self._close(task.number)
            self.options.log(
                f'cohort {task.number}: given up after {self.options.max_attempts} attempts: '
                f'{self.failed[task.number]}'
            )
            return
        if problem and (task.number, attempt.number) not in self.logged:
            self.logged.add((task.number, attempt.number))
            self.options.log(f'cohort {task.number}: attempt {attempt.number} {problem}; once more')
        self.ready[task.number] = attempt

    def _close(self, number):
        del self.open[number]
        self.mine.pop(number, None)


def progress(attempt: leases.Attempt) -> str:
    """How much of its updates an attempt has done; '' where it does not say yet."""
    if not attempt.steps:
        return ''
    return f'{attempt.step / attempt.steps:.0%}'


def describe_failure(attempt: leases.Attempt, folder: pathlib.Path, exit_reason: str = '') -> str:
    """What went wrong with an attempt that has ended or is lost; '' where nothing did.

    Args:
        exit_reason: what its executor says of its end.
    """
    where = f'on {attempt.host}, process {attempt.pid}'
    if attempt.state == 'failed':
        return f'failed {where}: {attempt.cause}; see {log(folder)}'
    if attempt.state != 'running':
        return ''
    reason = exit_reason or 'killed, or its machine is gone'
    last_line = _last_line(log(folder))
    return f'lost {where} ({reason}); it printed last: {last_line[:300]}; see {log(folder)}'


def _last_line(path):
    """The last line of a file that says something; '' where there is none."""
    if not path.exists():
        return ''
    for line in reversed(path.read_text(errors='replace').split('\n')):
        if line.strip():
            return line
    return ''
