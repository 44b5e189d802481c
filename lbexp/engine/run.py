"""A study's trials from configurations to rows: cohort by cohort, each in a workdir that can be
taken up again."""

import contextlib
import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from lbexp.data.partition import distinct
from lbexp.engine import identity, record
from lbexp.engine.checkpoint import Checkpoints
from lbexp.engine.cohort_runner import Outputs, Progress
from lbexp.engine.components import components
from lbexp.engine.events import Events
from lbexp.engine.loop import loop
from lbexp.engine.metrics_file import REMEDY, MetricsWriter, NullWriter, differences
from lbexp.engine.plan import Cohort, explain, in_examples, plan, run_length, splits, train_size
from lbexp.engine.program import program
from lbexp.engine.status import THROUGH, Status, expected_rows, statuses
from lbexp.errors import Damaged, Refusal
from lbexp.links import refuse_links
from lbexp.parallel import collectives, hosts


def build_once(trials: list[dict], trace: bool = False):
    """Builds every different trial with its numbers as they are: what a part refuses, it refuses
    here.

    Args:
        trace: also initial states, training and evaluation, as far as shapes go: a mask that
            matches nothing.

    Raises:
        ValueError: a part refuses its arguments; the message says which and why.
    """
    apart_from_seeds = {json.dumps({**config, 'seed': 0}): config for config in trials}
    for config in apart_from_seeds.values():
        components(in_examples(config), run_length(config))
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


def run(
    trials: list[dict],
    workdir: pathlib.Path,
    on_progress: Callable[[Progress], Any] = lambda progress: None,
    log: Callable[[str], Any] = lambda line: None,
    should_stop: Callable[[], bool] = lambda: False,
    rounds: list[int] | None = None,
    numbers: list[int] | None = None,
    restart_lost: bool = False,
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

    Raises:
        Damaged: checkpoints or rows are lost without which a trial cannot go on, or rows of one
            that is through.
        Refusal: a file of the workdir is damaged, or a link leads out of it.
    """
    collectives.run_on_primary(lambda: refuse_links(workdir, workdir))
    numbers = list(range(len(trials))) if numbers is None else numbers
    resolved = dict(zip(numbers, trials))
    rows = _opened(workdir)
    reached = dict(collectives.run_on_primary(lambda: list(statuses(workdir).items())))
    status = {i: {'status': 'pending', 'step': 0} for i in numbers} | reached
    _doubt(resolved, status, rows, restart_lost, log)
    cohorts = cohorts_of(resolved, dict(zip(numbers, rounds or [0] * len(trials))), status)
    about = collectives.run_on_primary(lambda: _about(workdir))
    shared = _Run(
        workdir,
        resolved,
        cohorts,
        rows,
        Status(workdir, status),
        about,
        should_stop,
        log,
        restart_lost,
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
        _required(lambda: run.rows.check())
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
    run.log(f'{name}: {len(cohort.trials)} trials, {sizes}, {compiled.layout}')
    if cohort.config['data']['partition'] == 'independent':
        shares = functools.partial(_note_shares, cohort, run.workdir)
        run.log(f'{name}: {collectives.run_on_primary(shares)}')
    folder = run.workdir / 'checkpoints' / f'trial-{min(cohort.trials):05d}'
    checkpoints = Checkpoints(folder, warn=run.log, identity=_identity(run, cohort))
    try:
        ended, reached = loop(
            cohort,
            compiled,
            train_size(cohort.config),
            Outputs(checkpoints, run.rows, run.status),
            _events(run),
            on_progress,
            run.should_stop,
            functools.partial(_restart, run, cohort) if run.restart_lost else None,
        )
    except BaseException:
        # in a job, Orbax would wait for the others, of whom one may be lost
        if hosts.count() == 1:
            checkpoints.close()
        raise
    checkpoints.close()
    with _naming_last_step(reached):
        run.status.update(reached, 'running' if ended else 'preempted')
    return ended


def _events(run):
    """What opens the events of a cohort: on process 0 alone."""
    if hosts.is_primary():
        return functools.partial(Events, run.workdir / 'tensorboard', log=run.log)
    return lambda trials, first_steps: NullWriter()


def _restart(run, cohort, cause):
    """Says that what is lost begins anew, here and in config.json."""
    run.log(f'{cause}. They train from the start, as --restart_lost says')
    members = ', '.join(map(str, sorted(cohort.trials)))
    change = {f'trials {members}': [cause, 'trained from the start']}
    collectives.run_on_primary(lambda: record.changed(run.workdir, change))


def _opened(workdir):
    """The rows, where this process writes them; what is damaged in them, all processes hear of."""
    opened = []
    collectives.run_on_primary(lambda: opened.append(MetricsWriter(workdir / 'metrics.jsonl')))
    return opened[0] if opened else NullWriter()


def _required(check):
    """Process 0 checks; all raise what it finds lost."""

    def lost():
        try:
            check()
        except Damaged as error:
            return str(error)

    problem = collectives.run_on_primary(lost)
    if problem:
        raise Damaged(problem)


def _doubt(resolved, status, rows, restart_lost, log):
    """Does not believe that a trial is through before its end, or without its rows."""
    for trial, config in resolved.items():
        said, steps = status[trial], run_length(config)
        if said['status'] == 'done' and said['step'] != steps:
            log(
                f'trial {trial}: done at step {said["step"]} of {steps}, says status.json: '
                'not believed'
            )
            status[trial] = {**said, 'status': 'running'}
    expected = expected_rows(status)

    def lost():
        gone = [trial for trial in expected if rows.written(trial) != expected[trial]]
        return gone, differences(
            rows.path, {trial: rows.written(trial) for trial in expected}, expected
        )

    gone, words = collectives.run_on_primary(lost)
    if gone and not restart_lost:
        raise Damaged(f'{words}. {REMEDY}')
    for trial in gone:
        status[trial] = {**status[trial], 'status': 'running'}


def _about(workdir):
    """What config.json says that checkpoints must say too."""
    document = record.read(workdir)
    return [document.get('run', ''), record.stage(document)['code'], document.get('stages', [])]


def _identity(run, cohort):
    name, code, stages = run.about
    members = [run.trials[trial] for trial in cohort.trials]
    seeds = [config['seed'] for config in members]
    digests = [identity.digest(config) for config in members]
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
        step = max(trial['step'] for trial in status.values())
        message = f'{error.strerror}; the last good checkpoint is that of step {step}'
        raise OSError(error.errno, message, error.filename) from error


def _note_shares(cohort, workdir):
    """How the data is shared, and what share of it an epoch of the first trial has; also into
    config.json."""
    train = components(in_examples(cohort.config), 1).workload.train
    share = distinct(train, int(cohort.numbers['seed'][0]))
    count = cohort.config['data']['hosts'] or hosts.count()
    words = (
        f'independent orders of {count} hosts, {share:.3f} of the examples are in the first epoch'
    )
    record.note(workdir, f'data of trial {cohort.trials[0]}', words)
    return f'data: {words}'


def cohorts_of(
    trials: dict[int, dict], rounds: dict[int, int], status: dict[int, dict]
) -> list[Cohort]:
    """The cohorts of the rounds that are not through, with the numbers that the trials have in the
    study.

    Args:
        trials, rounds, status: by the number of a trial, its resolved configuration, its round, its
            status.
    """
    cohorts = []
    for number in sorted(set(rounds.values())):
        members = [trial for trial, came_in in rounds.items() if came_in == number]
        if not through(status, members):
            planned = _planned(json.dumps([trials[i] for i in members]))
            cohorts += [
                cohort._replace(trials=[members[i] for i in cohort.trials]) for cohort in planned
            ]
    return cohorts


def through(status: dict[int, dict], members: list[int]) -> bool:
    """Whether these trials have nothing left to do."""
    return all(status[i]['status'] in THROUGH for i in members)


def _after(before, cohort):
    """Progress once this cohort is through."""
    examples = int(cohort.ticks(cohort.steps).sum()) * cohort.microbatch
    return before._replace(
        step=before.step + int(cohort.steps.sum()), examples=before.examples + examples
    )
