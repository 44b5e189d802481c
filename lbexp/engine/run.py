"""A study's trials from configurations to rows: cohort by cohort, each in a workdir that can be
taken up again."""

import contextlib
import functools
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from lbexp.engine import identity, initial_optimizer, initial_weights, record
from lbexp.engine.checkpoint import Checkpoints
from lbexp.engine.cohort_runner import Outputs, Progress
from lbexp.engine.components import components
from lbexp.engine.kept_examples import keeper
from lbexp.engine.loop import loop
from lbexp.engine.metrics_file import MetricsWriter, NullWriter
from lbexp.engine.notes import LastProgress, notes, size_of, speed
from lbexp.engine.plan import Cohort, explain, in_examples, plan, run_length, splits, train_size
from lbexp.engine.profile import Profiler
from lbexp.engine.program import program
from lbexp.engine.reached import damage_on_primary, open_rows, reached
from lbexp.engine.status import THROUGH, Status
from lbexp.engine.step import initial_state
from lbexp.engine.tracking import Tracking, build, tracked_cohort
from lbexp.errors import Refusal
from lbexp.links import refuse_links
from lbexp.parallel import collectives, hosts
from lbexp.trackers import Tracker


def build_once(trials: list[dict], trace: bool = False):
    """Builds every different trial with its numbers as they are: what a part refuses, it refuses
    here.

    Args:
        trace: also initial states, training and evaluation, as far as shapes go: a mask that
            matches nothing.

    Raises:
        ValueError: a part refuses its arguments; the message says which and why.
    """
    # Of trials that differ in their seeds alone, one.
    apart_from_seeds = {json.dumps({**config, 'seed': 0}): config for config in trials}
    for config in apart_from_seeds.values():
        trial = components(in_examples(config), run_length(config))
        if config['init_from']['weights'] is not None:
            initial_weights.taken(config['init_from'], trial.workload)
        if initial_weights.takes_optimizer_state(config['init_from']):
            state = jax.eval_shape(functools.partial(initial_state, trial))
            initial_optimizer.check(config, state.opt_state)
        size, batch = train_size(config), config['batch_size']
        if batch > size:
            raise Refusal(
                f'batch_size: found {batch} with {size} training examples; allowed: at most as many'
            )
    if trace:
        _planned(json.dumps(trials))


class _Run(NamedTuple):
    """What the cohorts of a run have in common."""

    workdir: pathlib.Path
    trials: dict[int, dict]  # number in the study -> resolved configuration
    cohorts: list[Cohort]
    rows: MetricsWriter | NullWriter
    status: Status
    about: list  # the run's random name, the digest of its code, its earlier stages
    should_stop: Callable[[], bool]
    log: Callable[[str], Any]
    restart_lost: bool
    ends_hung: bool
    trackers: dict[str, Tracker]
    profiler: Profiler | None


def run(
    trials: list[dict],
    workdir: pathlib.Path,
    on_progress: Callable[[Progress], Any] = lambda progress: None,
    log: Callable[[str], Any] = lambda line: None,
    should_stop: Callable[[], bool] = lambda: False,
    rounds: list[int] | None = None,
    numbers: list[int] | None = None,
    restart_lost: bool = False,
    ends_hung: bool = True,
    trackers: Sequence[str] = ('tensorboard',),
    profile: range | None = None,
) -> str:
    """Runs what is not yet done of `trials` (resolved configurations). Returns 'done' or
    'preempted'.

    Args:
        workdir: gets metrics.jsonl, status.json, checkpoints/, tensorboard/; what it holds already
            is gone on with.
        on_progress: called after each dispatch, with counts over all trials of the rounds that are
            not done.
        log: is told each cohort's plan in one line.
        should_stop: asked after each dispatch; when true, the run saves and returns.
        rounds: in which each trial came; those of different rounds share no cohort. None: they came
            together.
        numbers: of the trials in their study, ascending, where these are some of them. None: 0, 1,
            ...
        restart_lost: trials whose checkpoints or rows are lost train from the start, and
            config.json says so.
        ends_hung: whether the process ends where a dispatch hangs, as `watchdog` of the
            configuration says.
        trackers: names of what shows the rows elsewhere.
        profile: updates that the JAX profiler traces; None: none.

    Raises:
        Damaged: checkpoints or rows are lost without which a trial cannot go on, or rows of one
            that is through.
        Refusal: a file of the workdir is damaged, or a link leads out of it.
    """
    collectives.run_on_primary(lambda: refuse_links(workdir, workdir))
    if numbers is None:
        numbers = list(range(len(trials)))
    if rounds is None:
        rounds = [0] * len(trials)
    resolved = dict(zip(numbers, trials))
    rows = open_rows(workdir)
    status = reached(workdir, resolved, rows, restart_lost, log)
    cohorts = cohorts_of(resolved, dict(zip(numbers, rounds)), status)
    shared = _Run(
        workdir,
        resolved,
        cohorts,
        rows,
        Status(workdir, status),
        about=collectives.run_on_primary(lambda: _about(workdir)),
        should_stop=should_stop,
        log=log,
        restart_lost=restart_lost,
        ends_hung=ends_hung,
        trackers=build(trackers) if hosts.is_primary() else {},
        profiler=None if profile is None else Profiler(profile, workdir, log),
    )
    for line in splits(cohorts):
        log(line)
    ended = _train_cohorts(shared, on_progress)
    return 'done' if ended else 'preempted'


def _train_cohorts(run, on_progress):
    """Whether all reached their ends."""
    total = sum(int(cohort.steps.sum()) for cohort in run.cohorts)
    before, trained = Progress(0, 0, 0, {}, 0), False
    for number, cohort in enumerate(run.cohorts, 1):
        if not through(run.status.trials, cohort.trials):
            overall = functools.partial(_report, on_progress, before, total)
            if not _train_cohort(run, f'cohort {number}/{len(run.cohorts)}', cohort, overall):
                return False
            trained = True
        before = _after(before, cohort)
    if trained:
        # What is said to be done has all its rows.
        damage_on_primary(run.rows.check)
        with _naming_last_step(run.status.trials):
            run.status.update({}, 'done')
    return True


def _report(on_progress, before, total, progress):
    """The progress of a cohort as that of the run."""
    step, examples = before.step + progress.step, before.examples + progress.examples
    on_progress(progress._replace(step=step, steps=total, examples=examples))


def _train_cohort(run, name, cohort, on_progress):
    """Whether it reached its end."""
    layout, shards = cohort.config['layout'], cohort.config['data_parallel']
    compiled = collectives.run_on_all(functools.partial(program, cohort, layout, shards))
    sizes = explain(cohort, run.cohorts)
    # While XLA compiles: what is traced for it keeps nobody waiting.
    cost = size_of(cohort, compiled.states)
    run.log(f'{name}: {len(cohort.trials)} trials, {sizes}, {compiled.layout}, {cost}')
    for line in notes(run.workdir, cohort, run.trials):
        run.log(f'{name}: {line}')
    folder = run.workdir / 'checkpoints' / f'trial-{min(cohort.trials):05d}'
    checkpoints = Checkpoints(folder, warn=run.log, identity=_identity(run, cohort))
    restart = functools.partial(_restart, run, cohort)
    watch = LastProgress(on_progress)
    try:
        ended, statuses = loop(
            cohort,
            compiled,
            train_size(cohort.config),
            Outputs(
                checkpoints,
                run.rows,
                run.status,
                keeper(run.workdir, cohort.trials),
                run.profiler,
            ),
            functools.partial(_tracking, run, cohort),
            watch,
            run.should_stop,
            restart if run.restart_lost else None,
            run.ends_hung,
        )
    except BaseException:
        # in a job, Orbax would wait for the others, of whom one may be lost
        if hosts.count() == 1:
            checkpoints.close()
        raise
    checkpoints.close()
    with _naming_last_step(statuses):
        for line in speed(run.workdir, cohort, watch.last.examples_per_second):
            run.log(f'{name}: {line}')
        run.status.update(statuses, 'running' if ended else 'preempted')
    return ended


def _tracking(run, cohort, goes_on):
    """What shows the rows of a cohort elsewhere: nothing, but on process 0."""
    trials = {number: run.trials[number] for number in cohort.trials} if run.trackers else {}
    described = tracked_cohort(run.workdir, run.about[0], trials, goes_on)
    return Tracking(run.trackers, described, run.log)


def _restart(run, cohort, cause):
    """Says that what is lost begins anew, here and in config.json."""
    run.log(f'{cause}. They train from the start, as --restart_lost says')
    members = ', '.join(map(str, sorted(cohort.trials)))
    change = {f'trials {members}': [cause, 'trained from the start']}
    collectives.run_on_primary(lambda: record.changed(run.workdir, change))


def _about(workdir):
    """What config.json says that checkpoints must say too."""
    document = record.read(workdir)
    name, code = document.get('run', ''), record.stage(document)['code']
    return [name, code, document.get('stages', [])]


def _identity(run, cohort):
    name, code, stages = run.about
    configs = [run.trials[trial] for trial in cohort.trials]
    seeds = [config['seed'] for config in configs]
    digests = list(map(identity.digest, configs))
    return identity.Identity(name, cohort.trials, seeds, digests, code, tuple(stages))


@functools.lru_cache(8)
def _planned(trials):
    """plan traces every cohort: what was planned to see what is refused is not planned again."""
    return plan(json.loads(trials))


@contextlib.contextmanager
def _naming_last_step(status):
    """What the disk refuses here comes after the last checkpoint, which the message names."""
    try:
        yield
    except OSError as error:
        step = max(standing['step'] for standing in status.values())
        message = f'{error.strerror}; the last good checkpoint is that of step {step}'
        raise OSError(error.errno, message, error.filename) from error


def cohorts_of(
    trials: dict[int, dict], rounds: dict[int, int], status: dict[int, dict]
) -> list[Cohort]:
    """The cohorts of the rounds that are not through, with the numbers that the trials have in the
    study.

    Args:
        trials, rounds, status: by the number of a trial, its resolved configuration, its round, its
            status.
    """
    by_round = {}
    for trial, number in rounds.items():
        by_round.setdefault(number, []).append(trial)
    cohorts = []
    for _, members in sorted(by_round.items()):
        if through(status, members):
            continue
        # the planner counts the trials that it is given
        for cohort in _planned(json.dumps([trials[i] for i in members])):
            numbers = [members[i] for i in cohort.trials]
            cohorts.append(cohort._replace(trials=numbers))
    return cohorts


def through(status: dict[int, dict], members: list[int]) -> bool:
    """Whether these trials have nothing left to do."""
    return all(status[i]['status'] in THROUGH for i in members)


def _after(before, cohort):
    """Progress once this cohort is through."""
    steps = int(cohort.steps.sum())
    examples = int(cohort.ticks(cohort.steps).sum()) * cohort.microbatch
    return before._replace(step=before.step + steps, examples=before.examples + examples)
