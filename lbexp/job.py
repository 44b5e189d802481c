"""One run in one workdir, from a checked configuration to its report. Every process of a job calls
it alike."""

import contextlib
import functools
import pathlib
import threading

from absl import flags
from ml_collections import ConfigDict

from lbexp import command, documents, rounds
from lbexp import config as configs
from lbexp.config import lookup
from lbexp.engine import environment, record
from lbexp.engine.changes import flatten
from lbexp.engine.lock import lock
from lbexp.engine.run import build_once, run
from lbexp.engine.schema import keep_schema
from lbexp.errors import Refusal
from lbexp.exit_status import STOPPED
from lbexp.local_path import local_path
from lbexp.parallel import collectives, hosts
from lbexp.report.progress import progress
from lbexp.studies import Study
from lbexp.trained.initial_weights import gather, keep


def job(flag_values: flags.FlagValues, config: ConfigDict, stop: command.Stop) -> int:
    """Trains the trials of the configuration's study and reports.

    Args:
        flag_values: of lbexp.main.
        stop: true when the run is to save and end.

    Returns:
        The exit status.

    Raises:
        Refusal: the workdir is another run's, or a part refuses its arguments.
        Damaged: checkpoints or rows are lost.
    """
    # No daemon: a process that is refused waits for it, as one that ends in the middle of an import
    # may crash.
    threading.Thread(target=_import_ahead).start()
    study = lookup.build('study', configs.plain(config.study))
    first_trials = study.trials(config)
    workdir = _workdir(flag_values, config, [trial.overrides for trial in first_trials])
    with contextlib.ExitStack() as stack:
        # On process 0 alone, which writes; the others hold nothing.
        collectives.run_on_primary(lambda: stack.enter_context(lock(workdir)))
        if _train(study, config, workdir, first_trials, stop, flag_values):
            # Nobody reads the rows before the process that writes them is through.
            collectives.allgather_object('all rows are written')
            if study.measure is not None:
                study.measure(config, workdir)  # together: it may use all devices
            return _report(study, workdir, flag_values.figures)
    cause = stop.name or 'a signal to another process'
    _print(f'stopped by {cause}; saved in {workdir}. To go on, run the same command again.')
    return STOPPED


def _workdir(flag_values, config, overrides) -> pathlib.Path:
    """The workdir, once the processes agree on it and all parts can be built."""
    if hosts.count() > 1:
        collectives.check_devices()
        print(hosts.describe(), flush=True)
        collectives.assert_equal(
            {**flatten(configs.plain(config), overrides), **environment.code()}
        )
    trials = _resolved(config, overrides)
    chosen = local_path(flag_values.workdir, '--workdir') if flag_values.workdir else None
    collectives.run_on_all(lambda: gather(trials, chosen))
    # Whatever may be refused on one process alone is agreed on: the others would wait for it.
    collectives.run_on_all(lambda: build_once(trials))
    fingerprint = collectives.run_on_all(lambda: command.fingerprint_of(flag_values, trials))
    workdir = collectives.run_on_all(
        lambda: command.workdir_of(flag_values, config, overrides, fingerprint)
    )
    if hosts.count() > 1:
        collectives.assert_equal({'workdir': str(workdir), **fingerprint})
        collectives.check_shared(workdir)
    collectives.run_on_primary(lambda: _refuse_a_sweep(workdir))
    # what is refused leaves nothing behind
    if collectives.run_on_primary(lambda: not (workdir / documents.CONFIG).exists()):
        collectives.run_on_all(lambda: build_once(trials, trace=True))
        others = command.with_other_code(flag_values, workdir)
        if others:
            _print(
                'trains anew: a run of the same configuration with other code or data is in '
                f'{", ".join(others)}'
            )
    return workdir


def _refuse_a_sweep(workdir):
    if (workdir / documents.COHORTS).exists():
        raise Refusal(
            f'workdir {str(workdir)!r} holds trials that lbexp.sweep trains. '
            'Go on with python -m lbexp.sweep, or choose another --workdir'
        )


def _train(study: Study, config, workdir, first_trials, stop, flag_values) -> bool:
    """Runs the first trials, and those that their results ask for, until there are none. False: it
    was stopped."""
    record_trials = functools.partial(_record, study, config, workdir, flag_values)
    past_run, announcements = '', []

    def announce(line):
        announcements.append(line)
        _print(line)

    def train(entries):
        nonlocal past_run
        past_run = collectives.run_on_primary(lambda: record.nothing_to_train(workdir))
        line = f'workdir {workdir}'
        if len(entries) > 1:
            line = f'{len(entries)} trials; {line}'
        _print(line)
        trials = _resolved(config, [entry['overrides'] for entry in entries])
        if not past_run:  # of earlier commands, too
            collectives.run_on_all(lambda: gather(trials, workdir))
        with _progress() as on_progress:
            outcome = run(
                trials,
                workdir,
                on_progress,
                announce,
                stop,
                rounds=[entry['round'] for entry in entries],
                restart_lost=flag_values.restart_lost,
            )
        if outcome == 'preempted':
            return outcome
        return None  # the next round may begin

    outcome = rounds.rounds(study, config, workdir, first_trials, record_trials, train)
    if outcome == 'preempted':
        return False
    # Where an earlier run had trained everything, and this one had nothing of its own to say.
    if past_run and not announcements:
        _print(past_run)
    return True


def _record(study, config, workdir, flag_values, trials) -> list[dict]:
    """Records the trials of a round; returns all trials of the workdir."""
    resolved = _resolved(config, [trial.overrides for trial in trials])

    def write():
        entries = record.record(
            workdir,
            configs.plain(config),
            trials,
            grows=rounds.grows(study, config),
            may_change=flag_values.allow_config_change,
            log=_print,
            code=command.fingerprint_of(flag_values, resolved),
        )
        keep_schema(workdir, resolved, _print)
        keep(resolved, workdir)
        return entries

    return collectives.run_on_primary(write)


@contextlib.contextmanager
def _progress():
    """The progress bar's `update` on process 0; elsewhere nothing is shown."""
    if not hosts.is_primary():
        yield lambda state: None
        return
    with progress() as bar:
        yield lambda state: bar.update(
            state.step,
            state.steps,
            state.examples,
            state.metrics.get('loss'),
            state.metrics.get('accuracy'),
        )


def _report(study, workdir, figure_formats) -> int:
    """Analyses, writes and prints; returns the exit status."""
    with lookup.trusting(None):  # the workdir has the names of this configuration, and no others
        analysis = study.analyse(workdir)
    return collectives.run_on_primary(lambda: command.report(analysis, workdir, figure_formats))


def _resolved(config, overrides):
    return [configs.resolve(config, changes) for changes in overrides]


def _print(line):
    if hosts.is_primary():
        print(line, flush=True)


def _import_ahead():
    """What is needed only after training has begun is imported while XLA compiles."""
    with contextlib.suppress(Exception):  # told where it is needed
        import tensorboardX
        from orbax.checkpoint import v1
