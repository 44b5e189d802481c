"""A study's trials from configurations to rows: cohort by cohort, each in a workdir that can be
taken up again."""

import contextlib
import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any

from lbexp.data.partition import distinct
from lbexp.engine import identity, record
from lbexp.engine.checkpoint import Checkpoints
from lbexp.engine.events import Events
from lbexp.engine.loop import Progress, loop
from lbexp.engine.plan import Cohort, explain, in_examples, plan, run_length, splits, train_size
from lbexp.engine.program import program
from lbexp.engine.recipe import recipe
from lbexp.engine.rows import REMEDY, Nowhere, Rows, differences
from lbexp.engine.status import THROUGH, Status, expected_rows, statuses
from lbexp.errors import Damaged, Refusal
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
        recipe(in_examples(config), run_length(config))
        size, batch = train_size(config), config['batch_size']
        if batch > size:
            raise Refusal(
                f'batch_size: found {batch} with {size} training examples; allowed: at most as many'
            )
    if trace:
        _planned(json.dumps(trials))


def run(
    trials: list[dict],
    workdir: pathlib.Path,
    observe: Callable[[Progress], Any] = lambda progress: None,
    announce: Callable[[str], Any] = lambda line: None,
    stopping: Callable[[], bool] = lambda: False,
    rounds: list[int] | None = None,
    numbers: list[int] | None = None,
    restart_lost: bool = False,
) -> str:
    """Runs what is not yet done of `trials` (resolved configurations). Returns 'done' or
    'preempted'.

    Args:
        workdir: gets metrics.jsonl, status.json, checkpoints/, tensorboard/; what it holds already
            is gone on with.
        observe: called after each dispatch, with counts over all trials of the rounds that are not
            done.
        announce: is told each cohort's plan in one line.
        stopping: asked after each dispatch; when true, the run saves and returns.
        rounds: in which each trial came; those of different rounds share no cohort. None: they came
            together.
        numbers: of the trials in their study, ascending, where these are some of them. None: 0, 1,
            ...
        restart_lost: trials whose checkpoints or rows are lost train from the start, and
            config.json says so.

    Raises:
        Damaged: checkpoints or rows are lost without which a trial cannot go on, or rows of one
            that is through.
        Refusal: a file of the workdir is damaged.
    """
    numbers = list(range(len(trials))) if numbers is None else numbers
    resolved = dict(zip(numbers, trials))
    rows = _opened(workdir)
    reached = dict(collectives.run_on_primary(lambda: list(statuses(workdir).items())))
    status = {i: {'status': 'pending', 'step': 0} for i in numbers} | reached
    _doubt(resolved, status, rows, restart_lost, announce)
    planned = cohorts_of(resolved, dict(zip(numbers, rounds or [0] * len(trials))), status)
    standing, about = Status(workdir, status), collectives.run_on_primary(lambda: _about(workdir))
    total, before = sum(int(cohort.steps.sum()) for cohort in planned), Progress(0, 0, 0, {}, 0)

    def overall(progress):
        step, examples = before.step + progress.step, before.examples + progress.examples
        observe(progress._replace(step=step, steps=total, examples=examples))

    def restart(cohort, cause):
        announce(f'{cause}. They train from the start, as --restart_lost says')
        members = ', '.join(map(str, sorted(cohort.trials)))
        collectives.run_on_primary(
            lambda: record.changed(
                workdir, {f'trials {members}': [cause, 'trained from the start']}
            )
        )

    trained = False
    for line in splits(planned):
        announce(line)
    for number, cohort in enumerate(planned):
        if through(status, cohort.trials):
            before = _after(before, cohort)
            continue
        size = train_size(cohort.config)
        layout, shards = cohort.config['layout'], cohort.config['data_parallel']
        ready = collectives.run_on_all(functools.partial(program, cohort, layout, shards))
        told = f'{len(cohort.trials)} trials, {explain(cohort, planned)}, {ready.layout}'
        announce(f'cohort {number + 1}/{len(planned)}: {told}')
        if cohort.config['data']['partition'] == 'independent':
            told = collectives.run_on_primary(functools.partial(_told_of_data, cohort, workdir))
            announce(f'cohort {number + 1}/{len(planned)}: {told}')
        folder = workdir / 'checkpoints' / f'trial-{min(cohort.trials):05d}'
        checkpoints = Checkpoints(
            folder, warn=announce, identity=_identity(cohort, resolved, about)
        )
        shown = functools.partial(Events, workdir / 'tensorboard', announce=announce)
        events = shown if hosts.is_primary() else lambda *members: Nowhere()
        try:
            again = functools.partial(restart, cohort) if restart_lost else None
            ended, reached = loop(
                cohort, ready, size, checkpoints, rows, standing, events, overall, stopping, again
            )
        except BaseException:
            # in a job, Orbax would wait for the others, of whom one may be lost
            if hosts.count() == 1:
                checkpoints.close()
            raise
        checkpoints.close()
        before = _after(before, cohort)
        with _saved_is_told(reached):
            standing.update(reached, 'running' if ended else 'preempted')
        if not ended:
            return 'preempted'
        trained = True
    if trained:
        _required(lambda: rows.check())
        with _saved_is_told(standing.trials):
            standing.update({}, 'done')
    return 'done'


def _opened(workdir):
    """The rows, where this process writes them; what is damaged in them, all processes hear of."""
    opened = []
    collectives.run_on_primary(lambda: opened.append(Rows(workdir / 'metrics.jsonl')))
    return opened[0] if opened else Nowhere()


def _required(check):
    """Process 0 checks; all raise what it finds lost."""

    def lost():
        try:
            check()
        except Damaged as error:
            return str(error)

    found = collectives.run_on_primary(lost)
    if found:
        raise Damaged(found)


def _doubt(resolved, status, rows, restart_lost, announce):
    """Does not believe that a trial is through before its end, or without its rows."""
    for trial, config in resolved.items():
        said, steps = status[trial], run_length(config)
        if said['status'] == 'done' and said['step'] != steps:
            announce(
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


def _identity(cohort, resolved, about):
    run, code, stages = about
    members = [resolved[trial] for trial in cohort.trials]
    seeds, digests = (
        [config['seed'] for config in members],
        [identity.digest(config) for config in members],
    )
    return identity.Identity(run, cohort.trials, seeds, digests, code, tuple(stages))


@functools.lru_cache(8)
def _planned(trials):
    """plan traces every cohort: what was planned to see what is refused is not planned again."""
    return plan(json.loads(trials))


@contextlib.contextmanager
def _saved_is_told(status):
    try:
        yield
    except OSError as error:
        step = max(one['step'] for one in status.values())
        told = f'{error.strerror}; the last good checkpoint is that of step {step}'
        raise OSError(error.errno, told, error.filename) from error


def _told_of_data(cohort, workdir):
    """How the data is shared, and what share of it an epoch of the first trial has; also into
    config.json."""
    train = recipe(in_examples(cohort.config), 1).workload.train
    share = distinct(train, int(cohort.numbers['seed'][0]))
    count = cohort.config['data']['hosts'] or hosts.count()
    told = (
        f'data: independent orders of {count} hosts, {share:.3f} of the examples are in the '
        'first epoch'
    )
    record.note(workdir, f'data of trial {cohort.trials[0]}', told.removeprefix('data: '))
    return told


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
        members = [i for i, own in rounds.items() if own == number]
        if not through(status, members):
            found = _planned(json.dumps([trials[i] for i in members]))
            cohorts += [
                cohort._replace(trials=[members[i] for i in cohort.trials]) for cohort in found
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
