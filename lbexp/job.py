"""One run in one workdir, from a checked configuration to its report. Every process of a job calls
it alike."""

import concurrent.futures
import contextlib
import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from lbexp import command, documents, rounds, workdirs
from lbexp import config as configs
from lbexp.analysis import Analysis
from lbexp.config import lookup
from lbexp.engine import environment, record
from lbexp.engine.changes import flatten
from lbexp.engine.lock import lock
from lbexp.engine.profile import steps_of
from lbexp.engine.run import build_once, run
from lbexp.engine.schema import keep_schema
from lbexp.engine.summary import keep_summary
from lbexp.errors import Refusal
from lbexp.local_path import local_path
from lbexp.parallel import collectives, hosts
from lbexp.report.progress import progress
from lbexp.settings import Settings
from lbexp.studies import Study
from lbexp.trained.initial_weights import gather, keep


class Outcome(NamedTuple):
    """How a job ended: stopped, where there is no analysis and no page."""

    analysis: Analysis | None
    workdir: pathlib.Path
    page: pathlib.Path | None


def job(
    settings: Settings,
    config: ConfigDict,
    stop: Callable[[], bool],
    log: Callable[[str], Any] | None,
) -> Outcome:
    """Trains the trials of the configuration's study and writes the report.

    Args:
        config: checked, in a process that `command.prepare` has set up.
        stop: true when the run is to save and end.
        log: is told each line, in every process; None: nothing is told, and no progress is shown.

    Raises:
        Refusal: the workdir is another run's, or a part refuses its arguments.
        Damaged: checkpoints or rows are lost.
    """
    shows = log is not None
    log = log or _ignored
    study = lookup.build('study', configs.plain(config.study))
    first_trials = study.trials(config)
    workdir = _workdir(settings, config, [trial.overrides for trial in first_trials], log)
    with contextlib.ExitStack() as stack:
        # On process 0 alone, which writes; the others hold nothing.
        collectives.run_on_primary(lambda: stack.enter_context(lock(workdir)))
        training = _Training(study, config, workdir, settings, stop, log, shows)
        if _train(training, first_trials):
            # Nobody reads the rows before the process that writes them is through.
            collectives.allgather_object('all rows are written')
            if study.measure is not None:
                with lookup.trusting(None):  # the workdir has the names of this configuration
                    study.measure(config, workdir)  # together: it may use all devices
            log('writing the report')  # which takes seconds
            return _report(study, workdir, settings.figures)
    return Outcome(None, workdir, None)


class _Training(NamedTuple):
    """What the rounds of a job have in common."""

    study: Study
    config: ConfigDict
    workdir: pathlib.Path
    settings: Settings
    stop: Callable[[], bool]
    log: Callable[[str], Any]
    shows: bool


def _workdir(settings, config, overrides, log) -> pathlib.Path:
    """The workdir, once the processes agree on it and all parts can be built."""
    if hosts.count() > 1:
        collectives.check_devices()
        if log is not _ignored:
            print(hosts.describe(), flush=True)  # of each process
        collectives.assert_equal(
            {**flatten(configs.plain(config), overrides), **environment.code()}
        )
    trials = _resolved(config, overrides)
    chosen = local_path(settings.workdir, '--workdir') if settings.workdir else None
    collectives.run_on_all(lambda: gather(trials, chosen))
    # Whatever may be refused on one process alone is agreed on: the others would wait for it.
    collectives.run_on_all(lambda: build_once(trials))
    collectives.run_on_all(lambda: bool(_profiled(settings, trials)))
    fingerprint = collectives.run_on_all(lambda: workdirs.fingerprint_of(settings, trials))
    digest = functools.partial(configs.digest, config, overrides)
    workdir = collectives.run_on_all(lambda: workdirs.workdir_of(settings, digest, fingerprint))
    if hosts.count() > 1:
        collectives.assert_equal({'workdir': str(workdir), **fingerprint})
        collectives.check_shared(workdir)
    collectives.run_on_primary(lambda: _refuse_a_sweep(workdir))
    # what is refused leaves nothing behind
    if collectives.run_on_primary(lambda: not (workdir / documents.CONFIG).exists()):
        collectives.run_on_all(lambda: build_once(trials, trace=True))
        others = workdirs.with_other_code(settings, workdir)
        if others:
            log(
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


def _train(job: _Training, first_trials) -> bool:
    """Runs the first trials, and those that their results ask for, until there are none. False: it
    was stopped."""
    config, workdir = job.config, job.workdir
    past_run, announcements = '', []

    def announce(line):
        announcements.append(line)
        job.log(line)

    def train(entries):
        nonlocal past_run
        past_run = collectives.run_on_primary(lambda: record.nothing_to_train(workdir))
        line = f'workdir {workdir}'
        if len(entries) > 1:
            line = f'{len(entries)} trials; {line}'
        job.log(line)
        trials = _resolved(config, [entry['overrides'] for entry in entries])
        if not past_run:  # of earlier commands, too
            collectives.run_on_all(lambda: gather(trials, workdir))
        numbers = [entry['trial'] for entry in entries]
        summarise = functools.partial(_summarise, job, dict(zip(numbers, trials, strict=True)))
        import_ahead = functools.partial(_import_ahead, bool(job.settings.figures))
        with _while_compiling(import_ahead, summarise), _progress(job.shows) as on_progress:
            outcome = run(
                trials,
                workdir,
                on_progress,
                announce,
                job.stop,
                rounds=[entry['round'] for entry in entries],
                restart_lost=job.settings.restart_lost,
                ends_hung=job.settings.ends_hung,
                trackers=job.settings.trackers,
                profile=_profiled(job.settings, trials),
            )
        if outcome == 'preempted':
            return outcome
        return None  # the next round may begin

    record_trials = functools.partial(_record, job)
    outcome = rounds.rounds(job.study, config, workdir, first_trials, record_trials, train)
    if outcome == 'preempted':
        return False
    # Where an earlier run had trained everything, and this one had nothing of its own to say.
    if past_run and not announcements:
        job.log(past_run)
    return True


def _record(job: _Training, trials) -> list[dict]:
    """Records the trials of a round; returns all trials of the workdir."""
    config, workdir, settings = job.config, job.workdir, job.settings
    resolved = _resolved(config, [trial.overrides for trial in trials])

    def write():
        entries = record.record(
            workdir,
            configs.plain(config),
            trials,
            grows=rounds.grows(job.study, config.search),
            may_change=settings.allow_config_change,
            log=job.log,
            code=workdirs.fingerprint_of(settings, resolved),
        )
        keep_schema(workdir, resolved, job.log)
        keep(resolved, workdir)
        return entries

    return collectives.run_on_primary(write)


def _summarise(job, trials):
    """Writes what the report says of the networks; of all trials of the workdir, by number."""
    if hosts.is_primary():
        keep_summary(job.workdir, trials, configs.docstring(job.settings.config))


@contextlib.contextmanager
def _while_compiling(*functions: Callable[[], None]):
    """Calls the functions beside the body, as the first that it does is to wait for XLA.

    Raises:
        what they raise, after the body.
    """
    # No daemons: a process that ends in the middle of an import may crash.
    threads = concurrent.futures.ThreadPoolExecutor(len(functions))
    calls = [threads.submit(function) for function in functions]
    try:
        yield
    finally:
        threads.shutdown()
    for call in calls:
        call.result()


@contextlib.contextmanager
def _progress(shows):
    """The progress bar's `update` on process 0; elsewhere nothing is shown."""
    if not (shows and hosts.is_primary()):
        yield lambda state: None
        return
    with progress() as bar:
        yield lambda state: bar.update(
            state.step,
            state.steps,
            state.examples,
            state.metrics,
        )


def _report(study, workdir, figure_formats) -> Outcome:
    """Analyses and writes."""
    with lookup.trusting(None):  # the workdir has the names of this configuration, and no others
        analysis = study.analyse(workdir)
    # as text, which processes can tell each other
    page = collectives.run_on_primary(lambda: str(command.write(analysis, workdir, figure_formats)))
    return Outcome(analysis, workdir, pathlib.Path(page))


def _profiled(settings, trials):
    """The updates that are to be traced; None: none."""
    return None if settings.profile is None else steps_of(settings.profile, trials)


def _resolved(config, overrides):
    return [configs.resolve(config, changes) for changes in overrides]


def _ignored(line):
    """Of a job that says nothing."""


def print_line(line: str) -> None:
    """Prints on process 0."""
    if hosts.is_primary():
        print(line, flush=True)


def _import_ahead(draws):
    """What is needed only after training has begun is imported while XLA compiles.

    Args:
        draws: whether the report has files of figures.
    """
    with contextlib.suppress(Exception):  # told where it is needed
        import tensorboardX
        from orbax.checkpoint import v1

        if draws:
            from matplotlib import figure
            from matplotlib.backends import backend_agg, backend_pdf
