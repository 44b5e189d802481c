"""What does batch size do to generalization? Errors against batch size, learning rate tuned for
each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from lbexp import config as configs
from lbexp import documents, results
from lbexp.analysis import UNDECIDED, Analysis, Claim, Figure, Series, bounds, outcome, spread
from lbexp.engine import plan
from lbexp.engine import speed as speeds
from lbexp.engine.metrics_file import replace
from lbexp.errors import Refusal
from lbexp.parallel import hosts
from lbexp.ranges import NonNegativeInteger, Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms, compare

_Speed = Annotated[float, msgspec.Meta(gt=0, le=1e30)]  # [examples / s]
_Speeds = Annotated[list[_Speed], msgspec.Meta(min_length=1)]
EPOCHS, UPDATES = 'equal epochs', 'equal updates'


def generalization_gap(
    batch_sizes: Sequence[PositiveInteger] = (32, 128, 512, 2048),
    learning_rates: tuple[Positive, Positive] = (0.01, 3.0),
    budget: Trials = 8,
    seeds: Trials = 5,
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
        seeds: trials reported for each.
        equal_updates: also the regime of equal updates, where a larger batch sees more epochs
            (Hoffer et al. 2017, "regime adaptation").
        extensions: times that the search may grow beyond an edge.
        speed: also time one trial of each batch size, alone, a second each.

    Raises:
        Refusal: an empty search space, no batch size, or one below 1.

    Keskar et al. 2017, arXiv:1609.04836; Hoffer, Hubara, Soudry 2017, arXiv:1705.08741; on tuning:
    Shallue et al. 2019, arXiv:1811.03600.
    """
    sizes = sorted(set(batch_sizes))
    if not sizes or sizes[0] < 1 or len(learning_rates) != 2:
        found = f'{tuple(batch_sizes)}, {tuple(learning_rates)}'
        raise Refusal(
            f'batch_sizes, learning_rates: found {found}; allowed: numbers >= 1, and (low, high)'
        )
    tuning = arms.Tuning(budget, seeds, arms.validation_error, extensions=extensions)
    made = lambda config: _arms(config, sizes, learning_rates, equal_updates)

    def trials(config):
        arms.require_validation(config)
        compared = made(configs.plain(config))
        arms.validate(compared, tuning)
        return arms.wanted(compared, tuning)

    return Study(
        trials,
        lambda workdir: _analyse(workdir, made(compare.configuration(workdir)), tuning, speed),
        lambda config, workdir: arms.more(workdir, made(configs.plain(config)), tuning),
    )


def _arms(config, sizes, learning_rates, equal_updates):
    space = {arms.learning_rate(config['optimizer']): ('log', *learning_rates)}
    shared = config['microbatch'] or plan.shared_microbatch(config['workload'], sizes)
    made = [
        arms.Arm(f'{EPOCHS}, B {size}', {'batch_size': size, 'microbatch': shared}, space)
        for size in sizes
    ]
    if equal_updates:
        longer = [{**arm.overrides, 'regime_adaptation': sizes[0]} for arm in made[1:]]
        made += [arms.Arm(f'{UPDATES}, B {each["batch_size"]}', each, space) for each in longer]
    return made


def _analyse(workdir, made, tuning, timed):
    found = arms.outcome(workdir, made, tuning)
    measured = compare.measure(workdir, found)
    # The smallest batch is the same run in both regimes.
    regimes = {EPOCHS: [arm for arm in made if 'regime_adaptation' not in arm.overrides]}
    regimes[UPDATES] = [made[0], *(arm for arm in made if 'regime_adaptation' in arm.overrides)]
    rows = results.read(workdir)
    table = compare.table(made, found, measured, tuning, made[0].name)
    figures = [
        _errors(regimes, measured),
        _gaps(regimes, measured),
        *_rates(regimes, found, next(iter(made[0].space))),
        *_paths(rows, regimes[EPOCHS], found),
        *(_speeds(workdir, regimes[EPOCHS]) if timed else []),
    ]
    claims = _claims(regimes, measured) if len(regimes[EPOCHS]) > 1 else []
    claims += _diffusion(rows, regimes[EPOCHS][-1], found)
    return Analysis(
        'Batch size and generalization', _verdict(regimes, measured), [table], figures, None, claims
    )


def _verdict(regimes, measured):
    words = []
    for regime, own in regimes.items():
        if len(own) > 1:
            gap = compare.paired(measured, own[-1].name, own[0].name)
            large, small = own[-1].overrides['batch_size'], own[0].overrides['batch_size']
            words.append(
                f'at {regime}, batch {large} has a test error {spread(gap)} above that '
                f'of batch {small}'
            )
    return '; '.join(words).capitalize() + '.' if words else ''


def _claims(regimes, measured):
    small, large = regimes[EPOCHS][0], regimes[EPOCHS][-1]
    size = large.overrides['batch_size']
    gap = compare.paired(measured, large.name, small.name)
    claims = [
        Claim(
            'At equal epochs a large batch generalizes worse than a small one (Keskar et al. 2017)',
            f'batch {size} minus batch {small.overrides["batch_size"]}, test error: {spread(gap)}',
            outcome(*bounds(gap)),
        )
    ]
    if len(regimes[UPDATES]) > 1:
        longer = regimes[UPDATES][-1]
        closed = compare.paired(measured, large.name, longer.name)
        left = compare.paired(measured, longer.name, small.name)
        low, high = bounds(left)
        told = f'batch {size}, test error at equal epochs minus at equal updates: {spread(closed)}'
        claims += [
            Claim(
                'As many updates as the small batch has shrink the gap (Hoffer et al. 2017)',
                told,
                outcome(*bounds(closed)),
            ),
            Claim(
                '... and leave none',
                f'test error left at batch {size}: {spread(left)}',
                'reproduced' if high <= 0 else 'not reproduced' if low > 0 else UNDECIDED,
            ),
        ]
    return claims


def _diffusion(rows, arm, found):
    """Is |w - w_0| straighter against log t than against t^1/2, as for a random walk in a rough
    potential?"""
    if 'distance' not in rows:
        return []
    at, far = compare.path(rows, found[arm.name].trials, 'step', 'distance')
    high = at <= at.max() / 2 if len(at) else at  # where the rate has not decayed yet
    if len(high) == 0 or high.sum() < 4:
        return []
    misfit = lambda x, y: np.polyfit(x, y, 1, full=True)[1].sum() / y.var() / len(y)  # 1 - R^2
    ratio = [misfit(np.log(at[high]), y[high]) / misfit(np.sqrt(at[high]), y[high]) for y in far]
    told = (
        f'batch {arm.overrides["batch_size"]}, first half: 1 - R^2 of log t over that of '
        f't^1/2: {spread(ratio)}'
    )
    low, up = bounds(ratio)
    claim = (
        'The distance from the initial weights grows like log t rather than t^1/2 (Hoffer et '
        'al. 2017)'
    )
    return [Claim(claim, told, outcome(-up, -low, -1.0))]


def _errors(regimes, measured):
    series = []
    for regime, own in regimes.items():
        sizes = [arm.overrides['batch_size'] for arm in own]
        for name, metric in (('test', 'test_error'), ('training', 'train_error')):
            if len(own) > 1:
                series += compare.points(
                    f'{name}, {regime}', sizes, [measured[arm.name][metric] for arm in own]
                )
    caption = 'Medians and bootstrap intervals over seeds; learning rate tuned for every point.'
    return Figure(
        'errors',
        'Error against batch size',
        'batch size [examples]',
        'error',
        series,
        'log',
        'linear',
        caption,
    )


def _gaps(regimes, measured):
    series = []
    for regime, own in regimes.items():
        if len(own) > 1:
            sizes = [arm.overrides['batch_size'] for arm in own]
            series += compare.points(regime, sizes, [measured[arm.name]['gap'] for arm in own])
    labels = 'batch size [examples]', 'test error - training error'
    caption = (
        'Medians and bootstrap intervals over seeds. Where training error is high, a small '
        'gap is no merit.'
    )
    return Figure(
        'gap', 'Generalization gap against batch size', *labels, series, 'log', caption=caption
    )


def _rates(regimes, found, path):
    """Best learning rate against batch size beside the rules; validation error of every rate
    tried."""
    best = []
    for regime, own in regimes.items():
        if len(own) > 1:
            tuned = [
                (arm.overrides['batch_size'], found[arm.name].best[path])
                for arm in own
                if found[arm.name].best
            ]
            best += [Series(regime, *zip(*tuned, strict=True), style='points')] if tuned else []
    first = found[regimes[EPOCHS][0].name].best
    sizes = np.array([arm.overrides['batch_size'] for arm in regimes[EPOCHS]], float)
    if first:
        best += [Series('linear rule', sizes, first[path] * sizes / sizes[0])]
        best += [Series('square-root rule', sizes, first[path] * np.sqrt(sizes / sizes[0]))]
    caption = f'Of the rates tried, by validation error; rules from the best one at B {sizes[0]:g}.'
    labels = 'batch size [examples]', 'learning rate'
    yield Figure('best_rate', 'Best learning rate', *labels, best, 'log', 'log', caption)
    tried = []
    for arm in regimes[EPOCHS]:
        at = np.array([point[path] for point in found[arm.name].points])
        order = np.argsort(at)
        scores = np.where(np.isfinite(found[arm.name].scores), found[arm.name].scores, np.nan)[
            order
        ]
        group = f'B {arm.overrides["batch_size"]}'
        tried += [
            Series(group, at[order], scores, None, None, 'points', group),
            Series(group, at[order], scores, group=group),
        ]
    caption = f'One trial a point, at {EPOCHS}; a gap is a trial that diverged.'
    yield Figure(
        'tuning',
        'Validation error of every learning rate tried',
        'learning rate',
        'validation error',
        tried,
        'log',
        'linear',
        caption,
    )


def _paths(rows, own, found):
    """Test error against epochs, and the distance from the initial weights against log t."""
    errors, distances = [], []
    for arm in own:
        name = f'B {arm.overrides["batch_size"]}'
        at, accuracy = compare.path(rows, found[arm.name].trials, 'epoch', 'test_accuracy')
        errors += [compare.band(name, at, 1 - accuracy)] if len(at) else []
        if 'distance' in rows:
            at, far = compare.path(rows, found[arm.name].trials, 'step', 'distance')
            distances += [compare.band(name, at, far)] if len(at) else []
    caption = f'Median over seeds, in the range of all; at {EPOCHS}.'
    yield Figure('paths', 'Test error in training', 'epochs', 'test error', errors, caption=caption)
    if distances:
        title, labels = 'Distance from the initial weights', ('updates', '|w - w_0|')
        yield Figure('diffusion', title, *labels, distances, 'log', 'linear', caption)


def _speeds(workdir, own):
    """Examples and epochs per second of one trial alone; measured once, kept in speed.json."""
    file, config = Path(workdir) / 'speed.json', compare.configuration(workdir)
    known = documents.document(file, dict[str, _Speeds]) if file.exists() else {}
    for arm in own:
        size = str(arm.overrides['batch_size'])
        if size not in known:
            known[size] = speeds.speed({**config, **arm.overrides, 'seed': 1})
    if hosts.is_primary():
        replace(file, json.dumps(known).encode())
    sizes = [arm.overrides['batch_size'] for arm in own]
    caption = (
        'Medians and intervals over stretches of a fifth of a second, by the clock, while '
        'nothing else is trained.'
    )
    for name, unit, each in (
        ('speed', 'examples', 1),
        ('speed_epochs', 'epochs', plan.train_size(config)),
    ):
        series = compare.points(
            unit, sizes, [np.atleast_1d(known[str(size)]) / each for size in sizes]
        )
        title, labels = (
            f'Training speed of one trial: {unit}',
            ('batch size [examples]', f'{unit} / s'),
        )
        yield Figure(name, title, *labels, series, 'log', 'log', caption)
