"""Weights & Biases: a run a trial, grouped by workdir. `pip install lbexp[wandb]`; offline with
WANDB_MODE=offline, and later `wandb sync`."""

import importlib
import os
from typing import Any, NamedTuple

from lbexp.errors import Refusal
from lbexp.trackers import TrackedCohort, Tracker, by_trial, label, numbers


class _Session(NamedTuple):
    runs: dict[int, Any]  # of each trial
    first: dict[int, int]  # the step below which the server has the rows of a trial


def wandb() -> Tracker:
    """One run a trial: its configuration, curves 'train/loss', 'test/accuracy', ..., over the step.
    It goes on where the trial does.

    The environment variables of W&B say where to: WANDB_MODE, WANDB_ENTITY, WANDB_PROJECT (here
    'lbexp', if it is not set), WANDB_BASE_URL; and where its files lie: WANDB_DIR, else `wandb/`
    here. They are not in the workdir, as links lead out of them. Neither code nor the terminal's
    output is sent.

    Raises:
        Refusal: W&B is not installed, or the run is to be online and nobody is logged in.
    """
    try:
        library = importlib.import_module('wandb')
    except ImportError as error:
        raise Refusal('not installed; pip install lbexp[wandb]') from error
    is_online = os.environ.get('WANDB_MODE', 'online') in ('online', 'run', 'shared')
    # It would ask in the terminal, where nobody may be.
    if is_online and not _has_key(library):
        raise Refusal('found no login; allowed: `wandb login`, or WANDB_MODE=offline')
    return Tracker(lambda cohort: _begin(library, cohort), _write, _finish)


def _has_key(library) -> bool:
    return bool(os.environ.get('WANDB_API_KEY') or library.api.api_key)


def _begin(library, cohort: TrackedCohort):
    session = _Session({}, {})
    settings = library.Settings(silent=True, console='off', disable_git=True, disable_code=True)
    for trial in cohort.trials:
        run = library.init(
            project=os.environ.get('WANDB_PROJECT', 'lbexp'),
            id=cohort.key(trial),
            name=label(trial),
            group=cohort.run,
            config=trial.config,
            resume='allow',
            reinit='create_new',  # the others of the cohort go on
            settings=settings,
        )
        session.runs[trial.number] = run
        session.first[trial.number] = run.starting_step
    _write(session, cohort.rows)
    return session


def _write(session, rows):
    for trial, rows_of_trial in by_trial(rows).items():
        for row in rows_of_trial:
            if row['step'] >= session.first[trial]:
                session.runs[trial].log(numbers(row), step=row['step'])


def _finish(session, statuses):
    for trial, run in session.runs.items():
        status = statuses[trial]
        # With an exit code that is not 0 this is 'preempted', which may go on, and not 'failed'.
        if status == 'running':
            run.mark_preempting()
        run.finish(exit_code=int(status != 'done'))
