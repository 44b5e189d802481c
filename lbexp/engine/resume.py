"""Where a cohort goes on: from its last usable checkpoint, with the rows that were written until
then."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lbexp.engine.checkpoint import REMEDY, Checkpoints
from lbexp.engine.metrics_file import MetricsWriter, Written
from lbexp.engine.reached import damage_on_primary
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

    Rows that came after it are dropped: they will come again.

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
        # Rows are written before the checkpoint that counts them: a kill between the two leaves
        # some that will come again.
        reached = _reached(trials, saved, rows, statuses)
        damage_on_primary(lambda: rows.rewind(reached))
        return saved
    except Damaged as error:
        if restart is None:
            raise
        # Said in config.json before anything is thrown away.
        restart(str(error))
        checkpoints.discard()
        damage_on_primary(lambda: rows.rewind(dict.fromkeys(trials, Written())))
        return None


def _reached(trials, saved, rows, statuses):
    """By trial, the rows that must be there."""
    if saved is not None:
        _, position = saved
        counts, digests = position.rows.tolist(), map(bytes, position.digests)
        return dict(zip(trials, map(Written, counts, digests), strict=True))
    there = collectives.run_on_primary(lambda: [rows.written(trial).count for trial in trials])
    for trial, written in zip(trials, there, strict=True):
        step = statuses.get(trial, {}).get('saved')
        evidence = ''
        if step:
            evidence = f'a checkpoint of step {step} was complete'
        elif step is None and written:  # status.json is lost, or an older version's
            evidence = f'{written} rows were written'
        if evidence:
            raise Damaged(f'trial {trial}: {evidence}, and there is no checkpoint. {REMEDY}')
    return dict.fromkeys(trials, Written())
