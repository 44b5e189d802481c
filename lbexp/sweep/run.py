"""A study whose cohorts train as processes of their own."""

import contextlib
import pathlib

from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp import rounds
from lbexp.engine import record
from lbexp.engine.lock import lock
from lbexp.engine.run import build_once
from lbexp.engine.status import statuses
from lbexp.studies import Study
from lbexp.sweep import cohorts, leases
from lbexp.sweep.schedule import Outcome, SchedulerOptions, schedule


def run(
    study: Study,
    config: ConfigDict,
    workdir: pathlib.Path,
    first_trials: list[configs.Trial],
    options: SchedulerOptions,
) -> Outcome:
    """Trains `first_trials` and what comes after. The rows are in the workdir as a direct run would
    have written them.

    Raises:
        Refusal: another configuration than the workdir's, trials that cannot be built, or a direct
            run in the workdir.
    """
    mutex_folder = workdir / 'cohorts' / 'mutex'

    def resolved(trials):
        return [configs.resolve(config, trial.overrides) for trial in trials]

    def record_trials(trials):
        # Schedulers of one workdir plan one after another: the second finds the first one's plan.
        with leases.mutex(mutex_folder, options.heartbeat_timeout):
            # where a file system has no locks, nobody is kept out
            with contextlib.suppress(OSError), lock(workdir):
                pass
            entries = record.record(
                workdir,
                configs.plain(config),
                trials,
                rounds.grows(study, config),
                None,
                options.log,
                options.fingerprint(resolved(trials)),
            )
            cohorts.plan(workdir, config, entries)
        return entries

    def train(entries):
        tasks, status = cohorts.cohort_tasks(workdir), statuses(workdir)
        waiting = [task for task in tasks if not cohorts.is_through(task, status)]
        options.log(
            f'{len(entries)} trials, {len(tasks)} cohorts, {len(tasks) - len(waiting)} of them '
            f'through; workdir {workdir}'
        )
        outcome = schedule(workdir, waiting, options)
        if not outcome.stopped:
            with leases.mutex(mutex_folder, options.heartbeat_timeout):
                cohorts.merge(workdir, outcome.failed)
        if outcome.stopped or outcome.failed:
            return outcome
        return None  # the next round may begin

    # What is refused leaves nothing behind.
    build_once(resolved(first_trials), trace=not (workdir / 'config.json').exists())
    outcome = rounds.rounds(study, config, workdir, first_trials, record_trials, train)
    return outcome or Outcome(False, {})
