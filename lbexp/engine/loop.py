"""The life of a cohort: segments between events, rows, evaluations, checkpoints, and how it is
taken up again."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lbexp.engine.cohort_runner import CohortRunner, Outputs, Progress
from lbexp.engine.plan import Cohort
from lbexp.engine.program import Program
from lbexp.engine.resume import Position, resume
from lbexp.engine.row_starts import row_starts_of
from lbexp.engine.throughput import Throughput
from lbexp.engine.tracking import Tracking
from lbexp.engine.watchdog import Watchdog


def loop(
    cohort: Cohort,
    program: Program,
    train_size: int,
    outputs: Outputs,
    open_tracking: Callable[[bool], Tracking],
    on_progress: Callable[[Progress], Any],
    should_stop: Callable[[], bool],
    restart: Callable[[str], Any] | None = None,
    ends_hung: bool = True,
) -> tuple[bool, dict[int, dict]]:
    """Trains the cohort's trials to their ends, from the last checkpoint if there is one.

    Args:
        train_size: examples in an epoch.
        open_tracking: whether there are rows of these trials -> what shows the rows elsewhere.
        on_progress: called after each dispatch.
        should_stop: asked after each dispatch.
        restart: where what is needed to go on is lost, is told so; the trials then train from the
            start. None: the loop raises Damaged.
        ends_hung: whether the process ends where a dispatch hangs.

    Returns:
        Whether the end was reached (False: `should_stop` became true, and everything is saved), and
        by trial its status ('done', 'diverged', 'running') and step.
    """
    runner = begin(cohort, program, outputs, restart)
    watchdog = Watchdog(cohort.config['watchdog'] if ends_hung else None)
    tracking = open_tracking(runner.row > 0)
    if outputs.profiler is not None:
        outputs.profiler.begin(cohort)
    stopped = False
    try:
        while not runner.is_at_end and not stopped:
            at_row, stopped = runner.dispatch(watchdog, should_stop)
            on_progress(runner.progress())
            if at_row:
                tracking.write(runner.write_row(train_size))
        # Where it was stopped, too: what was trained since the last checkpoint is not lost.
        runner.save()
        outputs.checkpoints.wait()
        # A save that is left out, as where every trial has diverged, synced no rows.
        outputs.rows.sync()
    except BaseException as error:
        # Without patience: a slow tracker must not hold back the error.
        tracking.finish(dict.fromkeys(cohort.trials, 'failed'), patience=0.0)
        if not isinstance(error, OSError):
            raise
        # The disk is full, or gone.
        message = f'{error.strerror}; {runner.last_saved()}'
        raise OSError(error.errno, message, error.filename) from error
    finally:
        watchdog.close()
        if outputs.profiler is not None:
            outputs.profiler.end()
    statuses = runner.statuses()
    tracking.finish({trial: standing['status'] for trial, standing in statuses.items()})
    return runner.is_at_end, statuses


def begin(
    cohort: Cohort, program: Program, outputs: Outputs, restart: Callable[[str], Any] | None
) -> CohortRunner:
    """The cohort at its last usable checkpoint, or at its start.

    Raises:
        Damaged: what is needed to go on is lost, and `restart` is None.
    """
    count = program.trials
    start = Position(
        frozen=np.zeros(count, bool),
        seconds=np.zeros(1),
        rows=np.zeros(count, int),
        digests=np.zeros((count, 32), np.uint8),
    )
    # A checkpoint holds no padding: it may be restored on another number of devices.
    like = jax.tree.map(_shape, (_unpadded(program.states, count), start))
    saved = resume(
        cohort.trials, like, outputs.checkpoints, outputs.rows, outputs.status.trials, restart
    )
    if saved is None:
        states, position = program.init(), start
        step, tick = cohort.starts, cohort.ticks(cohort.starts)
    else:
        unpadded, position = saved
        states = program.place(unpadded)
        tick = np.asarray(unpadded.tick, int)
        step = np.asarray(unpadded.step, int)
    row_starts = row_starts_of(cohort)
    runner = CohortRunner(
        cohort,
        program,
        outputs,
        row_starts,
        Throughput(cohort),
        states=states,
        tick=tick,
        step=step,
        frozen=position.frozen,
        diverged=position.frozen,
        row=row_starts.last_passed(tick, position.frozen),
        began=time.monotonic() - float(position.seconds[0]),
    )
    runner.begin_saving(saved=np.zeros(count, int) if saved is None else step)
    return runner


def _unpadded(states, count):
    def unpadded(leaf):
        return jax.ShapeDtypeStruct((count, *leaf.shape[1:]), leaf.dtype)

    return jax.tree.map(unpadded, states)


def _shape(leaf):
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
