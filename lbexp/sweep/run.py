"""A study whose cohorts train as processes of their own."""

import contextlib
import functools
import pathlib

from ml_collections import ConfigDict

from lbexp import config as configs
from lbexp import rounds
from lbexp.engine import record
from lbexp.engine.lock import lock
from lbexp.engine.run import build_once
from lbexp.engine.schema import keep_schema
from lbexp.engine.status import statuses
from lbexp.engine.summary import keep_summary
from lbexp.studies import Study
from lbexp.sweep import cohorts
from lbexp.sweep.schedule import Outcome, SchedulerOptions, schedule
from lbexp.trained.initial_weights import gather, keep


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
    first_configs = _resolved(config, first_trials)
    # What is refused leaves nothing behind.
    build_once(first_configs, trace=not (workdir / 'config.json').exists())
    record_trials = functools.partial(_record, study, config, workdir, options)
    train = functools.partial(_train, workdir, options)
    outcome = rounds.rounds(study, config, workdir, first_trials, record_trials, train)
    return outcome or Outcome(False, {})


def _record(study, config, workdir, options, trials):
    """Records the trials of a round, and plans their cohorts; returns all trials of the workdir."""
    fingerprint = options.fingerprint(_resolved(config, trials))
    # Schedulers of one workdir plan one after another: the second finds the first one's plan.
    with cohorts.mutex(workdir, options.heartbeat_timeout):
        # A direct run in the workdir holds the lock: that is refused, and not waited for.
        # where a file system has no locks, nobody is kept out
        with contextlib.suppress(OSError), lock(workdir):
            pass
        entries = record.record(
            workdir,
            configs.plain(config),
            trials,
            grows=rounds.grows(study, config.search),
            may_change=None,
            log=options.log,
            code=fingerprint,
        )
        keep_schema(workdir, _resolved(config, trials), options.log)
        recorded = {}
        for entry in entries:
            recorded[entry['trial']] = configs.resolve(config, entry['overrides'])
        keep_summary(workdir, recorded, options.docstring)
        keep(_resolved(config, trials), workdir)
        gather(list(recorded.values()), workdir)
        cohorts.plan(workdir, config, entries)
    return entries


def _train(workdir, options, entries) -> Outcome | None:
    """Trains what is not through; None: the next round may begin."""
    tasks, status = cohorts.cohort_tasks(workdir), statuses(workdir)
    waiting = [task for task in tasks if not cohorts.is_through(task, status)]
    options.log(
        f'{len(entries)} trials, {len(tasks)} cohorts, {len(tasks) - len(waiting)} of them '
        f'through; workdir {workdir}'
    )
    outcome = schedule(workdir, waiting, options)
    if outcome.stopped:
        return outcome
    with cohorts.mutex(workdir, options.heartbeat_timeout):
        cohorts.merge(workdir, outcome.failed)
    return outcome if outcome.failed else None


def _resolved(config, trials):
    return [configs.resolve(config, trial.overrides) for trial in trials]
