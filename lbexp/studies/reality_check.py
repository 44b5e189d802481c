"""Do layer-wise trust ratios win at large batch, once everybody is tuned with the same budget?"""

import math
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from lbexp.analysis import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Claim,
    Figure,
    Series,
    Table,
    bounds,
    equivalence,
    spread,
)
from lbexp.errors import Refusal
from lbexp.ranges import Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms

_RATE, _SECOND = 'optimizer.learning_rate', {'momentum': 'optimizer.momentum'}
_PAPER = 'Nado et al. 2021, arXiv:2102.06356'
_PLAIN, _LAYERWISE = ('momentum', 'adamw'), ('lars', 'lamb')
_DRAWS, _SEED = 2000, 21020
_CHANCE = 1.0  # error of a point that diverged

# What an optimizer is, and the two numbers that are tuned: as wide in decades for every one of
# them.
_MADE = {
    'momentum': dict(name='momentum', nesterov=True),
    'adamw': dict(name='adamw'),
    'lars': dict(name='lars', trust_coefficient=1.0, momentum=0.9),
    'lamb': dict(name='lamb'),
}
_DECAY = ('log', 1e-5, 1e-1)
_SPACES = {
    'momentum': {_RATE: ('log', 1e-3, 1e1), 'optimizer.momentum': ('linear', 0.8, 0.98)},
    'adamw': {_RATE: ('log', 1e-5, 1e-1), 'optimizer.weight_decay': _DECAY},
    'lars': {_RATE: ('log', 1e-4, 1e0), 'optimizer.weight_decay': _DECAY},
    'lamb': {_RATE: ('log', 1e-4, 1e0), 'optimizer.weight_decay': _DECAY},
}


def reality_check(
    optimizers: Sequence[Literal['momentum', 'adamw', 'lars', 'lamb']] = (
        'momentum',
        'adamw',
        'lars',
        'lamb',
    ),
    batch_size: PositiveInteger = 512,
    budget: Trials = 16,
    seeds: Trials = 10,
    margin: Positive = 0.01,
) -> Study:
    """The same number of points for every optimizer, over the learning rate and one number more.

    Momentum is Nesterov's, with its decay tuned; AdamW, LARS and LAMB have their weight decay
    tuned; rates cover four decades. Schedule and length of the run are the configuration's, the
    same for all. No space is extended: that would be a larger budget. What is reported ran with
    other seeds than what was tuned; differences are paired by seed.

    Args:
        optimizers: among momentum, adamw, lars, lamb; at least one of the first two and one of the
            last two.
        batch_size: [examples per update].
        budget: points tried for each.
        seeds: trials reported for each.
        margin: difference of test error that counts as none, > 0.

    Source: Nado et al. 2021, arXiv:2102.06356; budgets as in Choi et al. 2019, arXiv:1910.05446.
    """
    unknown = [name for name in optimizers if name not in _MADE]
    if unknown or not set(_PLAIN) & set(optimizers) or not set(_LAYERWISE) & set(optimizers):
        allowed = f'one or more of {", ".join(_PLAIN)} and one or more of {", ".join(_LAYERWISE)}'
        raise Refusal(f'optimizers: found {tuple(optimizers)}; allowed: {allowed}')
    if batch_size < 1:
        raise Refusal(f'batch_size: found {batch_size}; allowed: at least 1 example')
    if not margin > 0:
        raise Refusal(f'margin: found {margin}; allowed: a difference of error > 0')
    compared = [
        arms.Arm(name, {'optimizer': _MADE[name], 'batch_size': batch_size}, _SPACES[name])
        for name in optimizers
    ]
    tuning = arms.Tuning(budget, seeds, arms.validation_error, extensions=0)
    arms.validate(compared, tuning)

    def trials(config):
        arms.require_validation(config)
        return arms.wanted(compared, tuning)

    def analyse(workdir):
        return _analyse(Path(workdir), compared, tuning, batch_size, margin)

    return Study(trials, analyse, lambda config, workdir: arms.more(workdir, compared, tuning))


def best_of(scores: Sequence[float], tests: Sequence[float], draws: int = _DRAWS) -> np.ndarray:
    """What tuning with k points gives, k = 1 .. n, by drawing k of the n tried points with
    replacement.

    Returns:
        [2, 3, n]: of the validation error of the best of k points, and of the test error of that
        point, mean, 5 and 95 percent quantiles over the draws. A point that diverged has error 1.
    """
    count = len(scores)
    order = np.argsort(scores, kind='stable')
    rank = np.empty(count, int)
    rank[order] = np.arange(count)
    drawn = np.random.default_rng(_SEED).integers(count, size=(draws, count))
    best = order[np.minimum.accumulate(rank[drawn], axis=1)]
    found = []
    for errors in (scores, tests):
        values = np.where(np.isfinite(errors), errors, _CHANCE)[best]
        found.append([values.mean(axis=0), *np.quantile(values, (0.05, 0.95), axis=0)])
    return np.array(found)


def _analyse(workdir, compared, tuning, batch_size, margin):
    found = arms.outcome(workdir, compared, tuning)
    errors = {name: arms.final_error(workdir, one.trials) for name, one in found.items()}
    curves = {
        name: best_of(one.scores, arms.final_error(workdir, one.tried))
        for name, one in found.items()
    }
    pairs = list(product([n for n in found if n in _PLAIN], [n for n in found if n in _LAYERWISE]))
    claims = [_claim(one, other, errors, tuning.budget, batch_size, margin) for one, other in pairs]
    told = {claim.outcome for claim in claims}
    passed = None if told - {REPRODUCED, NOT_REPRODUCED} else told == {REPRODUCED}
    best = ', '.join(f'{name} {spread(own)}' for name, own in errors.items())
    counts = ', '.join(
        f'{sum(claim.outcome == kind for claim in claims)} {kind}'
        for kind in (REPRODUCED, NOT_REPRODUCED, UNDECIDED)
    )
    verdict = (
        f'Test error at batch size {batch_size} after {tuning.budget} points each: {best}. '
        f'Claims: {counts}.'
    )
    tables = [_arms_table(found, errors, tuning), _pairs_table(errors)]
    return Analysis(
        'Reality check of layer-wise optimizers',
        verdict,
        tables,
        _figures(found, curves),
        passed,
        claims,
    )


def _difference(one, other, errors):
    """By seed; none where an optimizer has no point that did not diverge."""
    if not len(errors[one]) or not len(errors[other]):
        return np.full(1, np.nan)
    return errors[one] - errors[other]


def _claim(one, other, errors, budget, batch_size, margin):
    apart = _difference(one, other, errors)
    lost = int(np.sum(~np.isfinite(apart)))
    measured = f'{one} - {other}: {spread(apart)}' + (
        f'; {lost} of {len(apart)} pairs diverged' if lost else ''
    )
    claim = (
        f'At an equal budget of {budget} {one} matches {other} at batch size {batch_size}, '
        f'within {margin:g} ({_PAPER})'
    )
    low, high = bounds(apart)
    result = equivalence(low, high, margin)
    if result == NOT_REPRODUCED:
        measured += f'; {one if high < 0 else other} has the lower error'
    return Claim(claim, measured, result)


def _arms_table(found, errors, tuning):
    columns = [
        'optimizer',
        'points',
        'diverged',
        'learning rate',
        'second number',
        'validation error',
        'edge',
    ]
    columns += ['test error', 'seeds', 'of them diverged']
    rows = []
    for name, one in found.items():
        lost = int(np.sum(~np.isfinite(one.scores)))
        own = errors[name]
        ends = [spread(own), len(own), int(np.sum(~np.isfinite(own)))]
        if one.best is None:
            rows.append([name, len(one.points), lost, 'all diverged', '', '', '', *ends])
            continue
        rate, (second,) = (
            f'{one.best[_RATE]:.3g}',
            [path for path in _SPACES[name] if path != _RATE],
        )
        number = f'{second.rpartition(".")[2]} {one.best[second]:.3g}'
        edge = (
            ', '.join(f'{path.rpartition(".")[2]}: {side}' for path, side in one.edges.items())
            or 'none'
        )
        rows.append(
            [name, len(one.points), lost, rate, number, f'{one.scores.min():.4f}', edge, *ends]
        )
    caption = (
        f'Test error: median over {tuning.seeds} seeds that were not tuned on, with interval. '
        'Edge: where the best '
        'point is the outermost tried; the space is not extended, so that budgets are equal.'
    )
    return Table('Optimizers', columns, rows, caption)


def _pairs_table(errors):
    names = list(errors)
    rows = [
        [f'{one} - {other}', spread(apart), int(np.isfinite(apart).sum())]
        for at, one in enumerate(names)
        for other in names[at + 1 :]
        for apart in [_difference(one, other, errors)]
    ]
    caption = 'Test error of one less that of the other, by seed: median with interval.'
    return Table('Paired differences', ['pair', 'difference', 'pairs'], rows, caption)


def _figures(found, curves):
    def of(which):
        for name, curve in curves.items():
            mean, low, high = (ends.tolist() for ends in curve[which])
            yield Series(name, list(range(1, len(mean) + 1)), mean, low, high)

    def tried():
        for name, one in found.items():
            scores = [score if math.isfinite(score) else math.nan for score in one.scores]
            yield Series(name, [point[_RATE] for point in one.points], scores, style='points')

    band = (
        'Mean and 5 to 95 % over draws of k from the points tried, with replacement; a '
        'diverged point has error 1.'
    )
    axes = 'points tried, k'
    validation, test = 'validation error [fraction]', 'test error [fraction]'
    scatter = 'Every point, one seed. Points that diverged are not drawn; the table counts them.'
    return [
        Figure(
            'best_of_k', 'Best of k points', axes, validation, list(of(0)), 'linear', 'log', band
        ),
        Figure(
            'selected',
            'Test error of the point selected',
            axes,
            test,
            list(of(1)),
            'linear',
            'log',
            band,
        ),
        Figure(
            'tried',
            'What was tried',
            'learning rate',
            validation,
            list(tried()),
            'log',
            'log',
            scatter,
        ),
    ]
