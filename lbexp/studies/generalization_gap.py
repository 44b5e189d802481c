"""What does batch size do to generalization? Errors against batch size, learning rate tuned for
each."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from lbexp import config as configs
from lbexp import documents, results
from lbexp.analysis import (
    Analysis,
    above,
    below,
    format_interval,
    judged,
)
from lbexp.engine import plan
from lbexp.engine import speed as speeds
from lbexp.engine.metrics_file import replace
from lbexp.errors import Refusal
from lbexp.parallel import hosts
from lbexp.ranges import NonNegativeInteger, Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import Compared, comparison
from lbexp.studies._presentation import generalization_gap as presentation

_Speed = Annotated[float, msgspec.Meta(gt=0, le=1e30)]  # [examples / s]
_Speeds = Annotated[list[_Speed], msgspec.Meta(min_length=1)]
SPEED_FILE = 'speed.json'  # {batch size: examples per second in each of a few stretches}
EPOCHS, UPDATES = 'equal epochs', 'equal updates'


def generalization_gap(
    batch_sizes: Sequence[PositiveInteger] = (32, 128, 512, 2048),
    learning_rates: tuple[Positive, Positive] = (0.01, 3.0),
    budget: Trials = 8,
    seeds: Trials = 6,
    tunings: Trials = 1,
    equal_updates: bool = True,
    extensions: NonNegativeInteger = 2,
    speed: bool = True,
) -> Study:
    """Trials over batch sizes, at as many epochs as the configuration says and at as many updates
    as the smallest has.

    For every batch size and regime the learning rate is tuned on validation examples with the same
    quasi-random budget (see _comparison/arms.py); what is reported are fresh seeds at the best
    rate. All other numbers are the configuration's.
    All batch sizes that can share a microbatch are one program (engine.plan.shared_microbatch).

    Args:
        batch_sizes: examples per update; the smallest is the reference.
        learning_rates: (low, high) of the search, logarithmic, > 0.
        budget: learning rates tried for each batch size and regime.
        seeds: trials reported for each, and each tuning.
        tunings: times that each is tuned, with other points and seeds; with several, intervals are
            over tunings.
        equal_updates: also the regime of equal updates, where a larger batch sees more epochs
            (Hoffer et al. 2017, "regime adaptation").
        extensions: times that the search may grow beyond an edge.
        speed: also time one trial of each batch size, alone, a second each, once all are trained.

    Raises:
        Refusal: an empty search space, no batch size, or one below 1.

    Keskar et al. 2017, arXiv:1609.04836; Hoffer, Hubara, Soudry 2017, arXiv:1705.08741; on tuning:
    Shallue et al. 2019, arXiv:1811.03600.
    """
    sizes = sorted(set(batch_sizes))
    if not sizes or sizes[0] < 1 or len(learning_rates) != 2:
        raise Refusal(
            f'batch_sizes, learning_rates: found {tuple(batch_sizes)}, {tuple(learning_rates)}; '
            'allowed: numbers >= 1, and (low, high)'
        )
    tuning = arms.Tuning(
        budget, seeds, arms.validation_error, extensions=extensions, tunings=tunings
    )

    def arms_of(config):
        return _arms(config, sizes, learning_rates, equal_updates)

    def measure(config, workdir):
        measure_speeds(config, workdir, sizes)

    return comparison(arms_of, tuning, _analyse, measure=measure if speed else None)


def _arms(config, sizes, learning_rates, equal_updates):
    space = {arms.learning_rate(config['optimizer']): ('log', *learning_rates)}
    shared = config.get('microbatch') or plan.shared_microbatch(config['workload'], sizes)
    at_epochs, at_updates = [], []
    for size in sizes:
        overrides = {'batch_size': size, 'microbatch': shared}
        at_epochs.append(arms.Arm(f'{EPOCHS}, B {size}', overrides, space))
        longer = {**overrides, 'regime_adaptation': sizes[0]}
        at_updates.append(arms.Arm(f'{UPDATES}, B {size}', longer, space))
    if not equal_updates:
        return at_epochs
    # The smallest batch has as many updates as itself: its regime of equal epochs is the other too.
    return at_epochs + at_updates[1:]


def measure_speeds(config, workdir: Path, sizes: Sequence[int]):
    """Times one trial of each batch size alone and keeps what is measured in SPEED_FILE; what is
    there already is not measured again. All processes of a job call it together."""
    speed_of = read_speeds(workdir)
    for size in sizes:
        if str(size) not in speed_of:
            trial = configs.resolve(config, {'batch_size': size, 'seed': 1})
            speed_of[str(size)] = speeds.speed(trial)
    if hosts.is_primary():
        replace(Path(workdir) / SPEED_FILE, json.dumps(speed_of).encode())


def read_speeds(workdir: Path) -> dict[str, list[float]]:
    """What `measure_speeds` kept, by batch size; {}: nothing was measured.

    Raises:
        Refusal: the file is damaged; the message names it.
    """
    file = Path(workdir) / SPEED_FILE
    if not file.exists():
        return {}
    return documents.document(file, dict[str, _Speeds])


def _analyse(compared: Compared) -> Analysis:
    all_arms, tuned = compared.arms, compared.results
    measured = compare.measure(compared.workdir, *compared.tunings)
    at_epochs, at_updates = [], [all_arms[0]]
    for arm in all_arms:
        if 'regime_adaptation' in arm.overrides:
            at_updates.append(arm)
        else:
            at_epochs.append(arm)
    regimes = {EPOCHS: at_epochs, UPDATES: at_updates}
    rows = results.read(compared.workdir)
    smallest = all_arms[0]
    table = compare.table(compared, measured, smallest.name)
    sizes = [arm.overrides['batch_size'] for arm in at_epochs]
    # none where nothing was timed, or not yet
    known_speeds = read_speeds(compared.workdir)
    (path,) = smallest.space
    figures = [
        *presentation.error_figures(regimes, measured),
        *presentation.rate_figures(regimes, tuned, path),
        *presentation.path_figures(rows, at_epochs, tuned),
    ]
    if all(str(size) in known_speeds for size in sizes):
        train_size = plan.train_size(compared.config)
        figures += presentation.speed_figures(known_speeds, sizes, train_size)
    claims = _claims(regimes, measured) + _diffusion(rows, at_epochs[-1], tuned)
    verdict = _verdict(regimes, measured)
    return Analysis('Batch size and generalization', verdict, [table], figures, None, claims)


def _verdict(regimes, measured):
    gaps = []
    for regime, members in regimes.items():
        small, large = members[0], members[-1]
        if small is not large:
            gap = compare.paired(measured, large.name, small.name)
            gaps.append(
                f'at {regime}, batch {large.overrides["batch_size"]} has a test error '
                f'{format_interval(gap)} above that of batch {small.overrides["batch_size"]}'
            )
    if not gaps:
        return ''
    return '; '.join(gaps).capitalize() + '.'


def _claims(regimes, measured):
    if len(regimes[EPOCHS]) < 2:
        return []
    small, large = regimes[EPOCHS][0], regimes[EPOCHS][-1]
    size = large.overrides['batch_size']
    gap = compare.differences(measured, large.name, small.name)
    claims = [
        judged(
            'At equal epochs a large batch generalizes worse than a small one (Keskar et al. 2017)',
            f'batch {size} minus batch {small.overrides["batch_size"]}, test error: '
            f'{format_interval(gap)}',
            above,
            gap,
        )
    ]
    if len(regimes[UPDATES]) < 2:
        return claims
    longer = regimes[UPDATES][-1]
    closed = compare.differences(measured, large.name, longer.name)
    left = compare.differences(measured, longer.name, small.name)
    return [
        *claims,
        judged(
            'As many updates as the small batch has shrink the gap (Hoffer et al. 2017)',
            f'batch {size}, test error at equal epochs minus at equal updates: '
            f'{format_interval(closed)}',
            above,
            closed,
        ),
        judged(
            '... and leave none',
            f'test error left at batch {size}: {format_interval(left)}',
            below,
            left,
        ),
    ]


def _diffusion(rows: Mapping[str, np.ndarray], arm: arms.Arm, tuned):
    """Is |w - w_0| straighter against log t than against t^1/2, as for a random walk in a rough
    potential?"""
    if 'distance' not in rows:
        return []
    steps, distances = compare.path(rows, tuned[arm.name].trials, 'step', 'distance')
    # where the rate has not decayed yet
    early = steps <= steps.max(initial=0) / 2
    if early.sum() < 4:
        return []
    t = steps[early]
    ratio = []
    for of_seed in distances:
        y = of_seed[early]
        ratio.append(_misfit(np.log(t), y) / _misfit(np.sqrt(t), y))
    measured = (
        f'batch {arm.overrides["batch_size"]}, first half: 1 - R^2 of log t over that of '
        f't^1/2: {format_interval(ratio)}'
    )
    claim = (
        'The distance from the initial weights grows like log t rather than t^1/2 (Hoffer et '
        'al. 2017)'
    )
    return [judged(claim, measured, below, ratio, 1.0)]


def _misfit(x, y):
    """1 - R^2 of the straight line through the points."""
    _, residuals, *_ = np.polyfit(x, y, 1, full=True)
    # their sum of squares; empty where many lines fit
    return residuals.sum() / y.var() / len(y)
