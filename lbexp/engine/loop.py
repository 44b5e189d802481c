"""The life of a cohort: segments between events, rows, evaluations, checkpoints, and how it is
taken up again."""

import contextlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from lbexp.engine.checkpoint import Checkpoints
from lbexp.engine.plan import Cohort
from lbexp.engine.program import Program
from lbexp.engine.resume import Position, resume
from lbexp.engine.rows import Rows
from lbexp.engine.status import Status
from lbexp.engine.watchdog import Watchdog
from lbexp.parallel import collectives, hosts, mesh

_DISPATCH_SECONDS = 0.5  # a dispatch longer than this would make progress bar and Ctrl-C sluggish


class Progress(NamedTuple):
    """Where a cohort stands, for whoever watches."""

    step: int  # updates done, summed over the trials
    steps: int  # updates to do
    examples: int  # consumed by all trials together
    metrics: dict[str, float]  # medians over the trials that have not diverged
    diverged: int  # trials


def loop(
    cohort: Cohort,
    program: Program,
    train_size: int,
    checkpoints: Checkpoints,
    rows: Rows,
    status: Status,
    open_events: Callable,
    observe: Callable[[Progress], Any],
    stopping: Callable[[], bool],
    restart: Callable[[str], Any] | None = None,
) -> tuple[bool, dict[int, dict]]:
    """Trains the cohort's trials to their ends, from the last checkpoint if there is one.

    Args:
        status: is told of each checkpoint and, now and then, of each trial's step.
        restart: where what is needed to go on is lost, is told so; the trials then train from the
            start. None: the loop raises Damaged.

    Returns:
        Whether the end was reached (False: `stopping` became true, and everything is saved), and by
        trial its status ('done', 'diverged', 'running') and step.
    """
    watch = _Watch(cohort, program, train_size, checkpoints, rows, status, observe, restart)
    try:
        events = open_events(cohort.trials, watch.row_steps[watch.row])
        told = False
        while watch.row < watch.events['num_rows'] and not told:
            at_row, told = watch.dispatch(stopping)
            if at_row:
                events.write(watch.write_row())
        watch.save()
        checkpoints.wait()
        rows.sync()
    except OSError as error:
        raise OSError(
            error.errno, f'{error.strerror}; {watch.told_saved()}', error.filename
        ) from error
    finally:
        watch.watchdog.close()
    return watch.row == watch.events['num_rows'], watch.statuses()


class _Watch:
    """The host's side of a running cohort."""

    def __init__(self, cohort, program, train_size, checkpoints, rows, status, observe, restart):
        self.cohort, self.program, self.train_size = cohort, program, train_size
        self.checkpoints, self.rows, self.status, self.observe = checkpoints, rows, status, observe
        self.events = {
            name: cohort.config[name] for name in ('num_rows', 'num_evaluations', 'num_checkpoints')
        }
        # Row r of a trial comes after floor(steps r / num_rows) updates, whatever its batch size.
        self.row_steps = (
            cohort.steps
            * np.arange(self.events['num_rows'] + 1)[:, None]
            // self.events['num_rows']
        )
        self.row_ticks = cohort.ticks(self.row_steps)  # [rows + 1, K] microbatches
        self.chunk = 16  # microbatches per dispatch, until their speed is known
        checkpoints.completed = self.completed
        self._begin(restart)
        self.watchdog = Watchdog(cohort.config['watchdog'])

    def _begin(self, restart):
        count = self.program.trials
        unpadded = lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype)
        like = jax.tree.map(unpadded, self.program.states)
        fresh = Position(
            np.zeros(count, bool),
            np.zeros(1),
            np.zeros(count, int),
            np.zeros((count, 32), np.uint8),
        )
        like = (like, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), fresh))
        saved = resume(
            self.cohort.trials, like, self.checkpoints, self.rows, self.status.trials, restart
        )
        self.states = self.program.init() if saved is None else self.program.place(saved[0])
        position = fresh if saved is None else saved[1]
        self.frozen = self.diverged = position.frozen
        self.tick = np.zeros(count, int) if saved is None else np.asarray(saved[0].tick, int)
        self.step = np.zeros(count, int) if saved is None else np.asarray(saved[0].step, int)
        passed = ((self.row_ticks <= self.tick) | self.frozen).all(-1)
        self.row = int(np.flatnonzero(passed)[-1])  # rows written
        self.start = time.monotonic() - float(position.seconds[0])
        # microbatches in all -> updates of each trial
        self.saved = {int(self.tick.sum()): self.step}
        steps = self.step.tolist()
        self.status.update(self._by_trial(status=['running'] * count, step=steps, saved=steps))

    def dispatch(self, stopping: Callable[[], bool]) -> tuple[bool, bool]:
        """Trains every trial towards its next row for one dispatch.

        Returns:
            Whether all trials are there, and whether `stopping` is true in any process.
        """
        target = self.row_steps[self.row + 1]
        row_tick = self.row_ticks[self.row + 1]
        until = np.minimum(row_tick, self.tick + self.chunk)
        if self.program.stretch:
            until = np.minimum(
                until, (self.tick // self.program.stretch + 1) * self.program.stretch
            )
        with self.watchdog:
            began = time.monotonic()
            self.states, columns = self.program.segment(
                self.states, until, self.row_ticks[self.row], target
            )
            columns = mesh.fetch(columns)
            # All processes go the same way: as fast as the slowest, and to the end of this
            # dispatch.
            seconds, told = collectives.allgather([time.monotonic() - began, stopping()]).max(0)
        self.columns = {name: value[: self.program.trials] for name, value in columns.items()}
        self.diverged = self.columns['diverged']
        self._pace(self.columns['tick'] - self.tick, float(seconds))
        self.tick, self.step = (self.columns[name].astype(int) for name in ('tick', 'step'))
        self.observe(self._progress())
        return bool(((self.tick >= row_tick) | self.diverged).all()), bool(told)

    def write_row(self) -> list[dict]:
        """The rows of all trials that moved; evaluation and checkpoint where they are due."""
        self.row += 1
        moved = (self.row_steps[self.row] > self.row_steps[self.row - 1]) & ~self.frozen
        columns = dict(self.columns)
        if self._due('num_evaluations') and self.program.evaluate is not None:
            measured = mesh.fetch(self.program.evaluate(self.states))
            columns |= {name: value[: self.program.trials] for name, value in measured.items()}
        seconds = round(time.monotonic() - self.start, 3)
        written = [self._row(i, columns, seconds) for i in np.flatnonzero(moved)]
        self.rows.write(written)
        self.status.progress(dict(zip(self.cohort.trials, self.step.tolist(), strict=True)))
        self.frozen = self.frozen | self.diverged
        if self._due('num_checkpoints'):
            self.save()
        return written

    def save(self):
        """A checkpoint at the present tick; rows written before it are on the disk first.

        None where every trial has diverged, or will with its next loss: the last sound state stays.
        """
        if self.diverged.all():
            return
        states = jax.tree.map(lambda leaf: leaf[: self.program.trials], mesh.fetch(self.states))
        if not (_sound(states.params) & ~self.diverged).any():
            return
        seconds = np.asarray([time.monotonic() - self.start])
        written = [self.rows.written(trial) for trial in self.cohort.trials]
        digests = np.stack([np.frombuffer(one.digest, np.uint8) for one in written])
        position = Position(
            self.frozen, seconds, np.asarray([one.count for one in written]), digests
        )
        self.saved[int(self.tick.sum())] = self.step
        self.checkpoints.save(int(self.tick.sum()), (states, position), before=self.rows.sync)

    def completed(self, tick: int):
        """Says so, durably, before the checkpoint counts: without one a trial that had one must not
        begin anew."""
        self.status.update(self._by_trial(saved=self.saved[tick].tolist()))

    def told_saved(self) -> str:
        """What is left to go on from, for a message."""
        if hosts.count() == 1:  # the others of a job do not wait with this one
            with contextlib.suppress(OSError):
                self.checkpoints.wait()
        steps = self.saved.get(self.checkpoints.saved)
        if steps is None:
            return 'there is no checkpoint yet'
        return f'the last good checkpoint is that of step {int(steps.max())}'

    def statuses(self) -> dict[int, dict]:
        ended, said = self.row == self.events['num_rows'], {}
        for i, trial in enumerate(self.cohort.trials):
            status = 'diverged' if self.frozen[i] else 'done' if ended else 'running'
            said[trial] = {'status': status, 'step': int(self.step[i])}
            if status != 'running':
                written = self.rows.written(trial)
                said[trial] |= {'rows': written.count, 'digest': written.digest.hex()}
        return said

    def _by_trial(self, **fields) -> dict[int, dict]:
        """Lists of a value for each trial as the fields of each trial."""
        rows = zip(*fields.values(), strict=True)
        return {
            t: dict(zip(fields, row, strict=True))
            for t, row in zip(self.cohort.trials, rows, strict=True)
        }

    def _due(self, event) -> bool:
        """Whether the event falls on this row: its count is spread evenly over the rows."""
        passed = lambda row: row * self.events[event] // self.events['num_rows']
        return passed(self.row) > passed(self.row - 1)

    def _row(self, i, columns, seconds):
        examples = int(self.tick[i]) * self.cohort.microbatch
        head = {
            'trial': self.cohort.trials[i],
            'step': int(columns['step'][i]),
            'examples': examples,
            'epoch': round(examples / self.train_size, 6),
            'wall_time': seconds,
        }
        return head | {k: v[i] for k, v in columns.items() if k not in ('step', 'tick', 'diverged')}

    def _pace(self, ticks, seconds):
        """Aims at dispatches of a known length. Growth is bounded: the first dispatch also
        compiled."""
        if ticks.max() > 0:
            wanted = ticks.max() * _DISPATCH_SECONDS / max(seconds, 1e-4)
            self.chunk = int(np.clip(wanted, max(self.chunk // 4, 1), self.chunk * 16))

    def _progress(self):
        columns = self.columns
        sound = ~self.diverged
        # A trial of fewer updates than rows has rows without any: their means are of nothing.
        shown = {
            k: v[sound & np.isfinite(v)] for k, v in columns.items() if k in ('loss', 'accuracy')
        }
        stopped = self.diverged & (self.tick < self.row_ticks[-1])
        # A diverged trial has nothing left to do.
        steps = np.where(stopped, self.cohort.steps, columns['step'])
        return Progress(
            step=int(steps.sum()),
            steps=int(self.cohort.steps.sum()),
            examples=int(self.tick.sum()) * self.cohort.microbatch,
            metrics={
                name: float(np.median(values)) for name, values in shown.items() if len(values)
            },
            diverged=int(self.diverged.sum()),
        )


def _sound(params):
    """By trial, whether its parameters are numbers. The loss of the last update does not tell: it
    is that before it."""
    leaves = [
        leaf
        for leaf in jax.tree.leaves(params)
        if jax.numpy.issubdtype(leaf.dtype, jax.numpy.inexact)
    ]
    return np.all([np.isfinite(leaf).reshape(len(leaf), -1).all(-1) for leaf in leaves], axis=0)
