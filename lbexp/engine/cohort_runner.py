"""The host's side of a running cohort: dispatches, rows, checkpoints, and what each says."""

import contextlib
import dataclasses
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from lbexp.engine.checkpoint import Checkpoints
from lbexp.engine.metrics_file import MetricsWriter
from lbexp.engine.plan import Cohort
from lbexp.engine.profile import Profiler
from lbexp.engine.program import Program
from lbexp.engine.resume import Position
from lbexp.engine.row_starts import RowStarts
from lbexp.engine.state import finite
from lbexp.engine.status import Status
from lbexp.engine.throughput import Throughput
from lbexp.engine.watchdog import Watchdog
from lbexp.parallel import collectives, hosts, mesh
from lbexp.results.metrics import headline

_DISPATCH_SECONDS = 0.5  # a dispatch longer than this would make progress bar and Ctrl-C sluggish
# A checkpoint costs 20 ms of a core, however small it is; a run of seconds is soon trained again.
_AUTO_CHECKPOINTS, _AUTO_SECONDS = 5, 10.0
_INNER = ('step', 'tick', 'diverged')  # columns that no row shows as they are


class Progress(NamedTuple):
    """Where a cohort stands, for whoever watches."""

    step: int  # updates done, summed over the trials
    steps: int  # updates to do
    examples: int  # consumed by all trials together
    # medians over the trials that have not diverged, the target's first, of the last evaluation
    metrics: dict[str, float]
    diverged: int  # trials
    # a second, of all trials, in dispatches after the first, which compiles; 0: there was none yet
    examples_per_second: float = 0.0


class Outputs(NamedTuple):
    """What a run writes to."""

    checkpoints: Checkpoints
    rows: MetricsWriter
    status: Status  # is told of each checkpoint and, now and then, of each trial's step
    # (trials, {metric: [trials, n]}): keeps the values of each example of the last evaluation
    keep_examples: Callable[[list[int], dict[str, np.ndarray]], Any]
    profiler: Profiler | None = None  # traces some updates


@dataclasses.dataclass
class CohortRunner:
    """The host's side of a running cohort of K trials."""

    cohort: Cohort
    program: Program
    outputs: Outputs
    row_starts: RowStarts
    throughput: Throughput
    states: Any  # on the devices
    tick: np.ndarray  # [K] microbatches done
    step: np.ndarray  # [K] updates done
    frozen: np.ndarray  # [K] trials whose divergence is in a row
    diverged: np.ndarray  # [K]
    row: int  # rows written
    began: float  # [s] of the monotonic clock, as if the run had never been interrupted
    chunk: int = 16  # microbatches per dispatch, until their speed is known
    columns: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # of the last dispatch
    evaluated: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # columns, at last
    # microbatches of all trials -> updates of each: of the checkpoints that were begun
    saved: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    # [s] of the monotonic clock: the last checkpoint was begun, or this runner was
    saved_at: float = 0.0

    @property
    def is_at_end(self) -> bool:
        return self.row == self.cohort.config['num_rows']

    def begin_saving(self, saved: np.ndarray):
        """Says where the trials stand, and hears of each checkpoint that is complete. `saved`: the
        updates of each trial in the last one [K]; 0: there is none."""
        self.saved[int(self.tick.sum())], self.saved_at = saved, time.monotonic()
        self.outputs.checkpoints.completed = self._completed
        steps = self.step.tolist()
        places = self._by_trial(status=['running'] * len(steps), step=steps, saved=saved.tolist())
        self.outputs.status.update(places)

    def dispatch(self, watchdog: Watchdog, should_stop: Callable[[], bool]) -> tuple[bool, bool]:
        """Trains every trial towards its next row for one dispatch.

        Returns:
            Whether all trials are there, and whether `should_stop` is true in any process.
        """
        row_tick = self.row_starts.ticks[self.row + 1]
        until = np.minimum(row_tick, self.tick + self.chunk)
        stretch = self.program.stretch
        if stretch is not None:
            # A dispatch ends with the examples of a stream that it was given.
            until = np.minimum(until, (self.tick // stretch + 1) * stretch)
        if self.outputs.profiler is not None:
            until = self.outputs.profiler.dispatch(self.tick, until)
        row_start = self.row_starts.ticks[self.row]
        row_step = self.row_starts.steps[self.row + 1]
        with watchdog, jax.profiler.StepTraceAnnotation('updates', step_num=int(self.step[0])):
            began = time.monotonic()
            self.states, columns = self.program.segment(self.states, until, row_start, row_step)
            columns = mesh.fetch(columns)
            # All processes go the same way: as fast as the slowest, to the end of this dispatch.
            answers = [time.monotonic() - began, should_stop()]
            seconds, stopped = collectives.allgather(answers).max(0)
        is_first, self.columns = not self.columns, self._of_trials(columns)
        self.diverged = self.columns['diverged']
        ticks = self.columns['tick'] - self.tick
        if not is_first:
            self.throughput.add(ticks.astype(int), float(seconds))
        self._choose_chunk(ticks, float(seconds))
        self.tick = self.columns['tick'].astype(int)
        self.step = self.columns['step'].astype(int)
        at_row = (self.tick >= row_tick) | self.diverged
        return bool(at_row.all()), bool(stopped)

    def write_row(self, train_size: int) -> list[dict]:
        """The rows of all trials that moved; evaluation and checkpoint where they are due."""
        self.row += 1
        steps = self.row_starts.steps
        # Where a trial has fewer updates than rows, some rows are not its own.
        has_row = steps[self.row] > steps[self.row - 1]
        moved = has_row & ~self.frozen
        columns = self.columns | self._evaluated() | self.throughput.columns_of_row()
        seconds = round(time.monotonic() - self.began, 3)
        rows = [self._row(k, columns, seconds, train_size) for k in np.flatnonzero(moved)]
        self.outputs.rows.write(rows)
        reached = dict(zip(self.cohort.trials, self.step.tolist(), strict=True))
        self.outputs.status.progress(reached)
        self.frozen = self.frozen | self.diverged
        if self._is_checkpoint_due():
            self.save()
        return rows

    def _evaluated(self):
        """The columns of the evaluation, and of what is measured beside it, where they are due."""
        columns = {}
        is_evaluated = self._is_due(self.cohort.config['num_evaluations'])
        if is_evaluated and self.program.evaluate is not None:
            evaluated = self.program.evaluate(self.states)
            self.evaluated = self._of_trials(mesh.fetch(evaluated.columns))
            columns |= self.evaluated
            # Before the rows: what a kill leaves without them is written again.
            if self.is_at_end:
                self._keep_examples(evaluated.per_example)
        is_doubled = self.row.bit_count() == 1  # rows 1, 2, 4, 8, ...
        is_due = {'evaluations': is_evaluated, 'log': is_doubled or self.is_at_end}
        for at, measure in self.program.measurements:
            is_measured = is_due[at] if at in is_due else self.is_at_end or self.row % at == 0
            if is_measured:
                columns |= self._of_trials(mesh.fetch(measure(self.states)))
        return columns

    def _keep_examples(self, per_example):
        """Keeps the values of each example, of the trials that did not diverge."""
        sound = np.flatnonzero(~self.diverged)
        values = self._of_trials(mesh.fetch(per_example))
        if len(sound) and values:
            trials = [self.cohort.trials[k] for k in sound]
            self.outputs.keep_examples(trials, jax.tree.map(lambda array: array[sound], values))

    def save(self):
        """A checkpoint at the present tick; rows written before it are on the disk first.

        None where every trial has diverged, or will with its next loss: the last sound state stays.
        """
        if self.diverged.all():
            return
        states = self._of_trials(mesh.fetch(self.states))
        if not (finite(states.params) & ~self.diverged).any():
            return
        position = self._position()
        # Checkpoints are named by a number that grows whichever trial trains.
        total = int(self.tick.sum())
        self.saved[total], self.saved_at = self.step, time.monotonic()
        self.outputs.checkpoints.save(total, (states, position), before=self.outputs.rows.sync)

    def _position(self):
        """What a checkpoint says beside the states: how many rows are written, and which."""
        counts, digests = [], []
        for trial in self.cohort.trials:
            written = self.outputs.rows.written(trial)
            counts.append(written.count)
            digests.append(np.frombuffer(written.digest, np.uint8))
        seconds = np.asarray([time.monotonic() - self.began])
        return Position(self.frozen, seconds, np.asarray(counts), np.stack(digests))

    def last_saved(self) -> str:
        """What is left to go on from, for a message."""
        if hosts.count() == 1:  # the others of a job do not wait with this one
            with contextlib.suppress(OSError):
                self.outputs.checkpoints.wait()
        complete = self.outputs.checkpoints.saved
        if complete is None or complete not in self.saved:
            return 'there is no checkpoint yet'
        return f'the last good checkpoint is that of step {int(self.saved[complete].max())}'

    def statuses(self) -> dict[int, dict]:
        """By trial, what status.json says of it."""
        statuses = {}
        for k, trial in enumerate(self.cohort.trials):
            statuses[trial] = self._status(k, trial)
        return statuses

    def progress(self) -> Progress:
        columns, medians = self.columns | self.evaluated, {}
        for name in headline(columns, self.program.target):
            # A trial of fewer updates than rows has rows without any: their means are of nothing.
            finite = columns[name][~self.diverged & np.isfinite(columns[name])]
            if len(finite):
                medians[name] = float(np.median(finite))
        # A diverged trial has nothing left to do.
        stopped = self.diverged & (self.tick < self.row_starts.ticks[-1])
        steps = np.where(stopped, self.cohort.steps, columns['step'])
        return Progress(
            step=int(steps.sum()),
            steps=int(self.cohort.steps.sum()),
            examples=int(self.tick.sum()) * self.cohort.microbatch,
            metrics=medians,
            diverged=int(self.diverged.sum()),
            examples_per_second=self.throughput.examples_per_second,
        )

    def _status(self, k, trial):
        step = int(self.step[k])
        if not self.frozen[k] and not self.is_at_end:
            return {'status': 'running', 'step': step}
        written = self.outputs.rows.written(trial)
        return {
            'status': 'diverged' if self.frozen[k] else 'done',
            'step': step,
            'rows': written.count,
            'digest': written.digest.hex(),
        }

    def _completed(self, tick: int):
        """Says so, durably, before the checkpoint counts: without one a trial that had one must not
        begin anew."""
        steps = self.saved[tick].tolist()
        self.outputs.status.update(self._by_trial(saved=steps))

    def _by_trial(self, **fields: list) -> dict[int, dict]:
        """Lists of a value for each trial as the fields of each trial."""
        by_trial = {}
        for k, trial in enumerate(self.cohort.trials):
            by_trial[trial] = {name: values[k] for name, values in fields.items()}
        return by_trial

    def _of_trials(self, tree):
        """Without the padding."""
        count = self.program.trials
        return jax.tree.map(lambda leaf: leaf[:count], tree)

    def _is_checkpoint_due(self) -> bool:
        count = self.cohort.config['num_checkpoints']
        if count != 'auto':
            return self._is_due(count)
        if not self._is_due(_AUTO_CHECKPOINTS):
            return False
        # All processes go the same way: by the one that has waited longest.
        return collectives.allgather(time.monotonic() - self.saved_at).max() >= _AUTO_SECONDS

    def _is_due(self, count) -> bool:
        """Whether one of `count` events, spread evenly over the rows, falls on this row."""
        num_rows = self.cohort.config['num_rows']
        return self.row * count // num_rows > (self.row - 1) * count // num_rows

    def _row(self, k, columns, seconds, train_size):
        examples = int(self.tick[k]) * self.cohort.microbatch
        row = {
            'trial': self.cohort.trials[k],
            'step': int(columns['step'][k]),
            'examples': examples,
            'epoch': round(examples / train_size, 6),
            'wall_time': seconds,
        }
        for name, values in columns.items():
            if name not in _INNER:
                row[name] = values[k]
        return row

    def _choose_chunk(self, ticks, seconds):
        """Aims at dispatches of a known length. Growth is bounded: the first dispatch also
        compiled."""
        if ticks.max() > 0:
            aim = ticks.max() * _DISPATCH_SECONDS / max(seconds, 1e-4)
            fewest, most = max(self.chunk // 4, 1), self.chunk * 16
            self.chunk = int(np.clip(aim, fewest, most))
