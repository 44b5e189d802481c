"""How far the trials of a workdir are: what status.json says, as far as their rows bear it out."""

import pathlib
from collections.abc import Callable
from typing import Any

from lbexp.engine.metrics_file import REMEDY, MetricsWriter, NullWriter, differences
from lbexp.engine.status import expected_rows, statuses
from lbexp.engine.trial_plan import run_length
from lbexp.errors import Damaged
from lbexp.parallel import collectives


def open_rows(workdir: pathlib.Path) -> MetricsWriter | NullWriter:
    """The rows, where this process writes them; what is damaged in them, all processes hear of."""
    opened = []
    collectives.run_on_primary(lambda: opened.append(MetricsWriter(workdir / 'metrics.jsonl')))
    # The action ran here only where this is the process that writes.
    return opened[0] if opened else NullWriter()


def reached(
    workdir: pathlib.Path,
    trials: dict[int, dict],
    rows: MetricsWriter | NullWriter,
    restart_lost: bool,
    log: Callable[[str], Any],
) -> dict[int, dict]:
    """The status of each trial. None is through before its end, or without its rows.

    Args:
        trials: by number, the resolved configuration.
        restart_lost: a trial that is through and has lost rows is to train again.
        log: is told of what is not believed.

    Raises:
        Damaged: rows are lost of a trial that is through.
    """
    known = dict(collectives.run_on_primary(lambda: list(statuses(workdir).items())))
    status = {trial: {'status': 'pending', 'step': 0} for trial in trials} | known
    for trial, config in trials.items():
        standing, steps = status[trial], run_length(config)
        if standing['status'] == 'done' and standing['step'] != steps:
            log(
                f'trial {trial}: done at step {standing["step"]} of {steps}, says status.json: '
                'not believed'
            )
            status[trial] = {**standing, 'status': 'running'}
    lost, words = collectives.run_on_primary(lambda: _lost_rows(rows, expected_rows(status)))
    if lost and not restart_lost:
        raise Damaged(f'{words}. {REMEDY}')
    for trial in lost:
        status[trial] = {**status[trial], 'status': 'running'}
    return status


def _lost_rows(rows, expected):
    """The trials that have lost rows, and what, in words."""
    written = {trial: rows.written(trial) for trial in expected}
    lost = [trial for trial in expected if written[trial] != expected[trial]]
    return lost, differences(rows.path, written, expected)


def damage_on_primary(check: Callable[[], Any]) -> None:
    """Process 0 checks; all raise the damage that it finds."""

    def damage():
        try:
            check()
        except Damaged as error:
            return str(error)

    problem = collectives.run_on_primary(damage)
    if problem:
        raise Damaged(problem)
