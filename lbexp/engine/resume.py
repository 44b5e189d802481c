"""Where a cohort goes on: from its last usable checkpoint, with the rows that were written until
then."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lbexp.engine.checkpoint import REMEDY, Checkpoints
from lbexp.engine.metrics_file import MetricsWriter, Written
from lbexp.errors import Damaged
from lbexp.parallel import collectives


class Position(NamedTuple):
    """What a checkpoint holds beside the states."""

    frozen: np.ndarray  # [K] trials whose divergence is in a row
    seconds: np.ndarray  # [1] wall time so far
    rows: np.ndarray  # [K] rows written of each trial
    digests: np.ndarray  # [K, 32] of these rows


def resume(
    trials: list[int],
    like: tuple[Any, Position],
    checkpoints: Checkpoints,
    rows: MetricsWriter,
    statuses: dict[int, dict],
    restart: Callable[[str], Any] | None,
) -> tuple[Any, Position] | None:
    """The states and the position of the last usable checkpoint; None: the trials begin.

    MetricsWriter that came after it are dropped: they will come again.

    Args:
        trials: of the cohort.
        like: what a checkpoint holds.
        statuses: by trial, what status.json said.
        restart: is told what is lost, and the trials then train from the start; None: they must
            not.

    Raises:
        Damaged: a trial was further than any usable checkpoint, or rows from before it are gone.
        OSError: a checkpoint cannot be read.
    """
    try:
        saved = checkpoints.restore(like)
        _rewind(rows, _reached(trials, saved, rows, statuses))
        return saved
    except Damaged as error:
        if restart is None:
            raise
        restart(str(error))
        checkpoints.discard()
        _rewind(rows, dict.fromkeys(trials, Written()))
        return None


def _reached(trials, saved, rows, statuses):
    """By trial, the rows that must be there."""
    if saved is not None:
        position = saved[1]
        return {
            trial: Written(int(position.rows[k]), bytes(position.digests[k].tobytes()))
            for k, trial in enumerate(trials)
        }
    there = collectives.run_on_primary(lambda: [rows.written(trial).count for trial in trials])
    for trial, written in zip(trials, there, strict=True):
        step = statuses.get(trial, {}).get('saved')
        if step or (step is None and written):
            said = (
                f'a checkpoint of step {step} was complete'
                if step
                else f'{written} rows were written'
            )
            raise Damaged(f'trial {trial}: {said}, and there is no checkpoint. {REMEDY}')
    return dict.fromkeys(trials, Written())


def _rewind(rows, reached):
    """Process 0 has the rows; all learn of what is lost."""

    def rewind():
        try:
            rows.rewind(reached)
        except Damaged as error:
            return str(error)

    lost = collectives.run_on_primary(rewind)
    if lost:
        raise Damaged(lost)
