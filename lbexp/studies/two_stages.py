"""Do two trainings in a row, one on other data than the other, beat one; and does their order
matter?"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
from lbexp.engine.metric_names import metric_names
from lbexp.errors import Refusal
from lbexp.ranges import PositiveInteger
from lbexp.results.metrics import is_lower_better
from lbexp.studies import Study, Trial
from lbexp.studies._comparison import compare
from lbexp.studies._finals import metric_of_trials, require_test_set
from lbexp.studies._seeds import STRIDE, moved

_SECOND_SEEDS = STRIDE // 2  # of the second stage: another order of the examples
_OURS = ('seed', 'init_from', 'study', 'sweep', 'search')
_CAPTION = (
    'The test {metric} at the end of each stage: medians with intervals over seeds. The second '
    'stage begins from the weights of the first, with a fresh optimizer state and schedule; all '
    'arms have equally many updates. Differences are paired by seed, to the arm of the claims.'
)


class _Arm(NamedTuple):
    """One order of the stages, by name."""

    first: str
    second: str

    @property
    def name(self):
        if self.first == self.second:
            return f'{self.first} alone'
        return f'{self.first}, then {self.second}'


def two_stages(
    names: tuple[str, str],
    first: dict[str, Any],
    second: dict[str, Any],
    seeds: PositiveInteger = 6,
    take: tuple[str, ...] = (),
    reverse: bool = True,
    metric: str = 'error',
) -> Study:
    """A, then B, against B alone and against B, then A: each two stages of equally many updates.

    The first round trains the first stages. The second round begins from their weights
    (`init_from`), seed by seed: arms that share a first stage share its trials. B alone is B twice,
    so no arm has more updates than another; each stage has the configuration's length, schedule and
    optimizer, except where its dict sets others. Nothing is tuned here: a rate is `first` or
    `second` to set.

    The claims: the test error of 'A, then B' is lower than that of 'B alone', and lower than that
    of 'B, then A'; of another metric higher, where more is better. The test set must be the same in
    both.

    Args:
        names: of A and B, such as ('noisy', 'clean').
        first: what A sets, {field: value}: dict(workload=dict(...)).
        second: what B sets; `freeze` and `rates` hold where it is the second stage, too.
        seeds: trials of each arm; below 6 nothing is decided.
        take: parameters that a second stage takes, as in `init_from.take`; (): all.
        reverse: whether B, then A is an arm, and a claim.
        metric: of the test set: 'error', the share that is told wrong; or one that the workloads of
            both stages have, 'auc', 'loss', 'token_loss'.

    Raises:
        Refusal: names that are one, a stage that sets what the study sets, or a metric that a
            workload does not have.
    """
    stages = dict(zip(names, (first, second), strict=True))
    _validate(names, stages)
    forward, alone, backward = _Arm(*names), _Arm(names[1], names[1]), _Arm(*reversed(names))
    arms = [forward, alone] + ([backward] if reverse else [])

    def trials(config):
        require_test_set(config)
        for name in names:
            _require_metric(resolve(config, stages[name])['workload'], metric)
        asked = []
        for name in dict.fromkeys(arm.first for arm in arms):
            for seed in range(seeds):
                asked.append(Trial({**stages[name], 'seed': seed}, _first_tags(name, seed)))
        return moved(asked, config.seed)

    def more(config, workdir):
        begun = _trials(workdir, 1)
        asked = []
        for arm in arms:
            for seed in range(seeds):
                source = begun.get((arm.first, seed))
                if source is not None:
                    asked.append(_second(arm, stages[arm.second], seed, source, take))
        # The first ones, too: their tags are dropped as the weights make another fingerprint.
        return trials(config) + moved(asked, config.seed)

    def analyse(workdir):
        values = _values(workdir, arms, seeds, metric)
        return _analysis(workdir, arms, values, metric)

    return Study(trials, analyse, more)


def _validate(names, stages):
    if len(stages) < 2:
        raise Refusal(f'names: found {names!r}; allowed: two different ones')
    for name, fields in stages.items():
        wrong = [field for field in fields if field not in TOP_LEVEL or field in _OURS]
        if wrong:
            raise Refusal(
                f'{name}: found {", ".join(wrong)}; allowed: fields of the configuration, but for '
                f'{", ".join(_OURS)}'
            )


def _require_metric(workload, metric):
    """Raises Refusal where the workload does not measure it of a test set."""
    part = lookup.build('workload', workload)
    if part.test is None:
        raise Refusal(f'workload: found {workload["name"]} without a test set; allowed: with one')
    measured = metric_names(part, part.test)
    if 'accuracy' in measured:
        measured.insert(0, 'error')
    if metric not in measured:
        raise Refusal(
            f'metric: found {metric!r}; allowed: {", ".join(measured)}, which {workload["name"]} '
            'has of a test set'
        )


def _first_tags(name, seed):
    return dict(arm=name, stage=1, pair=seed)


def _second(arm, fields, seed, source, take):
    weights = {'weights': 'this run', 'trial': source, 'take': list(take), 'rename': []}
    overrides = {**fields, 'init_from': weights, 'seed': _SECOND_SEEDS + seed}
    return Trial(overrides, dict(arm=arm.name, stage=2, pair=seed))


def _trials(workdir: Path, stage: int) -> dict[tuple[str, int], int]:
    """{(arm, pair): trial} of a stage, of those that are done."""
    finals = results.final(workdir)
    status = dict(zip(finals['trial'].tolist(), finals['status'].tolist(), strict=True))
    trials = {}
    for trial, tags in results.roles(workdir):
        if tags.get('stage') == stage and status.get(trial) == 'done':
            trials[tags['arm'], tags['pair']] = trial
    return trials


def _values(workdir, arms, seeds, metric) -> dict[str, dict[int, np.ndarray]]:
    """{arm: {stage: the metric of each seed}}; NaN where a trial diverged or is not there."""
    finals = _with_error(results.final(workdir))
    values = {}
    for arm in arms:
        values[arm.name] = {}
        for stage, name in ((1, arm.first), (2, arm.name)):
            of_seed = _trials(workdir, stage)
            trials = [of_seed.get((name, seed)) for seed in range(seeds)]
            values[arm.name][stage] = metric_of_trials(finals, f'test_{metric}', trials)
    return values


def _with_error(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns, and the test error where they have the accuracy."""
    if 'test_accuracy' not in columns:
        return dict(columns)
    return {**columns, 'test_error': 1 - columns['test_accuracy']}


def _analysis(workdir, arms, values, metric):
    reference, *others = [arm.name for arm in arms]
    noun = _in_words(metric)
    claims = [_claim(values, reference, other, metric) for other in others]
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
        [Table('Arms', columns, rows, _CAPTION.format(metric=noun))],
        [_figure(workdir, arms, metric)],
        passed,
        claims,
    )


def _claim(values, reference, other, metric):
    """That the second stage of the reference ends better: lower, or higher where more is better."""
    noun, better, less, more = _in_words(metric), 'lower', reference, other
    if not is_lower_better(metric):
        better, less, more = 'higher', other, reference
    effects = values[more][2] - values[less][2]
    return judged(
        f'"{reference}" has a {better} test {noun} than "{other}", at equally many updates',
        f'test {noun}, "{more}" minus "{less}": {format_interval(effects)}',
        above,
        effects,
    )


def _figure(workdir, arms, metric):
    """The metric over the updates of both stages."""
    rows, noun = _with_error(results.read(workdir)), _in_words(metric)
    series = []
    for arm in arms:
        length = 0
        for stage, name in ((1, arm.first), (2, arm.name)):
            trials = _of_arm(_trials(workdir, stage), name)
            steps, curves = compare.path(rows, trials, 'step', f'test_{metric}')
            if len(steps):
                band = compare.band(arm.name, steps + length, curves)
                series.append(band._replace(group=arm.name))
                length += int(steps[-1])
    labels = 'updates of both stages', f'test {noun}'
    caption = _CAPTION.format(metric=noun)
    return Figure('stages', f'Test {noun} through both stages', *labels, series, caption=caption)


def _in_words(metric):
    return metric.replace('_', ' ')


def _of_arm(trials: Mapping[tuple[str, int], int], arm: str) -> list[int]:
    return [trial for (name, _), trial in trials.items() if name == arm]
