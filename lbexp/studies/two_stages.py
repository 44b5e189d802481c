"""Do two trainings in a row, one on other data than the other, beat one; and does their order
matter?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lbexp import results
from lbexp.analysis import (
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Figure,
    Table,
    above,
    format_interval,
    judged,
)
from lbexp.config import lookup, resolve
from lbexp.config.fields import TOP_LEVEL
from lbexp.engine import initial_weights
from lbexp.errors import Refusal
from lbexp.ranges import PositiveInteger
from lbexp.results.metrics import is_lower_better
from lbexp.studies import Study, Trial
from lbexp.studies._comparison import compare
from lbexp.studies._finals import metric_of_trials, require_metric, require_test_set
from lbexp.studies._seeds import STRIDE, moved
from lbexp.studies._stages import PRETRAINING, arms_of, parts_of

# of pretraining, of the first stage and of the second: each has another order of the examples
_FIRST_SEEDS = (STRIDE // 4, 0, STRIDE // 2)
_OURS = ('seed', 'init_from', 'study', 'sweep', 'search')
_CAPTION = (
    'The test {metric} at the end of each stage: medians with intervals over seeds. The second '
    'stage begins from the weights of the first, with a fresh optimizer state and schedule; all '
    'arms have equally many updates{but}. Differences are paired by seed, to the arm of the claims.'
)


def two_stages(
    names: tuple[str, str],
    first: dict[str, Any],
    second: dict[str, Any],
    seeds: PositiveInteger = 6,
    take: tuple[str, ...] = (),
    reverse: bool = True,
    metric: str = 'error',
    pretraining: dict[str, Any] | None = None,
    take_pretrained: tuple[str, ...] = (),
) -> Study:
    """A, then B, against B alone and against B, then A: each two stages of equally many updates.

    The first round trains the first stages. The second round begins from their weights
    (`init_from`), seed by seed: arms that share a first stage share its trials. B alone is B twice,
    so no arm has more updates than another; each stage has the configuration's length, schedule and
    optimizer, except where its dict sets others. Nothing is tuned here: a rate is `first` or
    `second` to set.

    With `pretraining` a stage stands before the two, whose weights every first stage begins from,
    seed by seed; a fourth arm, A, then B without it, is the control.

    The claims: the test error of 'A, then B' is lower than that of 'B alone', and lower than that
    of 'B, then A'; with pretraining, lower than without; of another metric higher, where more is
    better. The test set must be the same in A and B.

    Args:
        names: of A and B, such as ('noisy', 'clean').
        first: what A sets, {field: value}: dict(workload=dict(...)).
        second: what B sets; `freeze` and `rates` hold where it is the second stage, too.
        seeds: trials of each arm; below 6 nothing is decided.
        take: parameters that a second stage takes, as in `init_from.take`; (): all.
        reverse: whether B, then A is an arm, and a claim.
        metric: of the test set: 'error', the share that is told wrong; or one that the workloads of
            A and B have, 'auc', 'loss', 'token_loss'.
        pretraining: what the stage before A and B sets, as `first`; None: there is none.
        take_pretrained: parameters that a first stage takes of it, as `take`: not its head, where
            it predicts something else.

    Raises:
        Refusal: names that are one, a stage that sets what the study sets, a metric that a
            workload does not have, or parameters of other shapes than the stage before has them.
    """
    stages = dict(zip(names, (first, second), strict=True))
    _validate(names, stages, pretraining)
    if pretraining is not None:
        stages[PRETRAINING] = pretraining
    arms = arms_of(names, reverse, pretraining is not None)
    parts = parts_of(arms)
    take_of = {1: take_pretrained, 2: take}

    def trials(config):
        require_test_set(config)
        for name in names:
            require_metric(resolve(config, stages[name])['workload'], metric)
        for part in parts:
            if part.before is not None:
                _require_shapes(config, stages, part, take_of[part.number])
        return _fresh(parts, stages, seeds, config.seed)

    def more(config, workdir):
        trained, asked = _trials(workdir), []
        for part in parts:
            if part.before is None:
                continue
            for seed in range(seeds):
                source = trained.get(_key(part.before, seed))
                if source is not None:
                    begins = _begins(source, take_of[part.number])
                    asked.append(_trial(part, stages, seed, begins))
        # The first ones, too: their tags are dropped as the weights make another fingerprint.
        return _fresh(parts, stages, seeds, config.seed) + moved(asked, config.seed)

    def analyse(workdir):
        values = _values(workdir, arms, seeds, metric)
        return _analysis(workdir, arms, values, metric)

    return Study(trials, analyse, more)


def _validate(names, stages, pretraining):
    if len(stages) < 2 or PRETRAINING in names:
        raise Refusal(
            f'names: found {names!r}; allowed: two different ones, and none is {PRETRAINING!r}'
        )
    before = {} if pretraining is None else {PRETRAINING: pretraining}
    for name, fields in {**stages, **before}.items():
        wrong = [field for field in fields if field not in TOP_LEVEL or field in _OURS]
        if wrong:
            raise Refusal(
                f'{name}: found {", ".join(wrong)}; allowed: fields of the configuration, but for '
                f'{", ".join(_OURS)}'
            )


def _require_shapes(config, stages, part, take):
    """Raises Refusal where the last stage of a part cannot take what the one before it trains."""
    names = part.before.last, part.last
    source, workload = (
        lookup.build('workload', resolve(config, stages[name])['workload']) for name in names
    )
    try:
        initial_weights.require_shapes(_begins(0, take), workload, source)
    except (Refusal, ValueError) as error:
        raise Refusal(f'{part.name}: {error}') from None


def _fresh(parts, stages, seeds, first_seed):
    """The trials that begin from no other's weights."""
    asked = []
    for part in parts:
        if part.before is None:
            asked += [_trial(part, stages, seed) for seed in range(seeds)]
    return moved(asked, first_seed)


def _begins(source, take):
    return {'weights': 'this run', 'trial': source, 'take': list(take), 'rename': []}


def _trial(part, stages, seed, begins=None):
    """Of the last stage of a part.

    Args:
        begins: 'init_from' of a trial whose weights are not fresh.
    """
    overrides = {**stages[part.last], 'seed': _FIRST_SEEDS[part.number] + seed}
    if begins is not None:
        overrides['init_from'] = begins
    return Trial(overrides, dict(arm=part.name, stage=part.number, pair=seed))


def _key(part, seed):
    """By which a trial is found again."""
    return part.number, part.name, seed


def _trials(workdir: Path) -> dict[tuple[int, str, int], int]:
    """{key: trial}, of those that are done."""
    finals = results.final(workdir)
    status = dict(zip(finals['trial'].tolist(), finals['status'].tolist(), strict=True))
    trials = {}
    for trial, tags in results.roles(workdir):
        if 'pair' in tags and status.get(trial) == 'done':
            trials[tags['stage'], tags['arm'], tags['pair']] = trial
    return trials


def _of_stages(arm):
    """The parts that end with A or B."""
    return [part for part in parts_of([arm]) if part.number]


def _values(workdir, arms, seeds, metric) -> dict[str, dict[int, np.ndarray]]:
    """{arm: {stage: the metric of each seed}}; NaN where a trial diverged or is not there."""
    finals, trained = _with_error(results.final(workdir)), _trials(workdir)
    values = {}
    for arm in arms:
        values[arm.name] = {}
        for part in _of_stages(arm):
            trials = [trained.get(_key(part, seed)) for seed in range(seeds)]
            values[arm.name][part.number] = metric_of_trials(finals, f'test_{metric}', trials)
    return values


def _with_error(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns, and the test error where they have the accuracy."""
    if 'test_accuracy' not in columns:
        return dict(columns)
    return {**columns, 'test_error': 1 - columns['test_accuracy']}


def _analysis(workdir, arms, values, metric):
    reference, noun = arms[0].name, compare.in_words(metric)
    claims = [_claim(values, arms[0], other, metric) for other in arms[1:]]
    rows = []
    for name, by_stage in values.items():
        difference = ''
        if name != reference:
            difference = format_interval(by_stage[2] - values[reference][2])
        rows.append([name, *map(format_interval, by_stage.values()), difference])
    columns = ['arm', 'after stage 1', 'after stage 2', f'difference to {reference}']
    words = [f'{name} {format_interval(by_stage[2])}' for name, by_stage in values.items()]
    outcomes = {claim.outcome for claim in claims}
    passed = None if UNDECIDED in outcomes else outcomes <= {REPRODUCED}
    return Analysis(
        f'Two stages: {reference}',
        f'Test {noun}: {"; ".join(words)}.',
        [Table('Arms', columns, rows, _caption(arms, metric))],
        [_figure(workdir, arms, metric)],
        passed,
        claims,
    )


def _claim(values, reference, other, metric):
    """That the second stage of the reference ends better: lower, or higher where more is better."""
    noun, better, less, more = compare.in_words(metric), 'lower', reference.name, other.name
    if not is_lower_better(metric):
        better, less, more = 'higher', other.name, reference.name
    effects = values[more][2] - values[less][2]
    how = 'at equally many updates'
    if len(other.stages) < len(reference.stages):
        how = f'which has no {PRETRAINING}'
    return judged(
        f'"{reference.name}" has a {better} test {noun} than "{other.name}", {how}',
        f'test {noun}, "{more}" minus "{less}": {format_interval(effects)}',
        above,
        effects,
    )


def _figure(workdir, arms, metric):
    """The metric over the updates of both stages."""
    rows, noun = _with_error(results.read(workdir)), compare.in_words(metric)
    series, trained = [], _trials(workdir)
    for arm in arms:
        length = 0
        for part in _of_stages(arm):
            trials = [
                trial for key, trial in trained.items() if key[:2] == (part.number, part.name)
            ]
            steps, curves = compare.path(rows, trials, 'step', f'test_{metric}')
            if len(steps):
                band = compare.band(arm.name, steps + length, curves)
                series.append(band._replace(group=arm.name))
                length += int(steps[-1])
    labels = 'updates of both stages', f'test {noun}'
    caption = _caption(arms, metric)
    return Figure('stages', f'Test {noun} through both stages', *labels, series, caption=caption)


def _caption(arms, metric):
    but = ''
    if PRETRAINING in arms[0].stages:
        but = ' after those of pretraining, from whose weights a first stage begins'
    return _CAPTION.format(metric=compare.in_words(metric), but=but)
