"""Do layer-wise trust ratios win at large batch, once everybody is tuned with the same budget?"""

import collections
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from lbexp.analysis import (
    NOT_REPRODUCED,
    OUTCOMES,
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Figure,
    Series,
    Table,
    format_interval,
    judged,
    within,
)
from lbexp.errors import Refusal
from lbexp.ranges import Draws, Positive, PositiveInteger, Trials
from lbexp.studies import Study, _papers
from lbexp.studies._comparison import arms, compare
from lbexp.studies._comparison.comparison import Compared, comparison
from lbexp.studies._comparison.stopping import tuning_of
from lbexp.studies._judgement import TEST
from lbexp.studies._spaces import optimizer_spaces

_RATE = 'optimizer.learning_rate'
_PAPER = 'Nado et al. 2021, arXiv:2102.06356'
_PLAIN, _LAYERWISE = ('momentum', 'adamw'), ('lars', 'lamb')
_DRAWS, _SEED = 2000, 21020
_CHANCE = 1.0  # error of a point that diverged

# What an optimizer is, and the three numbers that are tuned: as wide in decades for every one of
# them. LARS without its ratio is momentum with weight decay.
_OPTIMIZERS = {
    'momentum': dict(name='lars', adapt='none', momentum_form='outside', nesterov=True),
    'adamw': dict(name='adamw'),
    'lars': dict(name='lars', trust_coefficient=1.0),
    'lamb': dict(name='lamb'),
}
_RANGE, _COEFFICIENT = ('log', 1e-4, 1e0), ('linear', 0.8, 0.98)
_DECAY = ('log', 1e-5, 1e-1)
_SPACES = {
    'momentum': dict(learning_rate=('log', 1e-3, 1e1), momentum=_COEFFICIENT, weight_decay=_DECAY),
    'adamw': dict(learning_rate=('log', 1e-5, 1e-1), b1=_COEFFICIENT, weight_decay=_DECAY),
    'lars': dict(learning_rate=_RANGE, momentum=_COEFFICIENT, weight_decay=_DECAY),
    'lamb': dict(learning_rate=_RANGE, b1=_COEFFICIENT, weight_decay=_DECAY),
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
    seeds: Draws = 10,
    tunings: Draws = 1,
    margin: Positive = 0.01,
    spaces: Sequence[Mapping[str, Any]] = (),
) -> Study:
    """The same number of points for every optimizer, over learning rate, momentum and weight decay.

    Momentum is Nesterov's; AdamW and LAMB have b1 for their momentum; rates cover four decades.
    Schedule and length of the run are the configuration's, the same for all. No space is extended:
    that would be a larger budget. What is reported ran with other seeds than what was tuned;
    differences are paired by seed, or by tuning.

    Args:
        optimizers: among momentum, adamw, lars, lamb; at least one of the first two and one of the
            last two.
        batch_size: [examples per update].
        budget: points tried for each.
        seeds: trials reported for each, and each tuning; 'auto': of one tuning, until decided.
        tunings: times that each is tuned, with other points and seeds; with several, intervals are
            over tunings; 'auto': until decided.
        margin: difference of test error that counts as none; at least that of 2 test examples.
        spaces: what replaces the space of an optimizer: dict(optimizer=..., FIELD=(scale, low,
            high)), its fields, as in lbexp.config.search.

    Source: Nado et al. 2021, arXiv:2102.06356; budgets as in Choi et al. 2019, arXiv:1910.05446.
    """
    _validate(optimizers, batch_size, margin)
    space_of = optimizer_spaces(spaces, _SPACES, optimizers)
    compared_arms = []
    for name in optimizers:
        overrides = {'optimizer': _OPTIMIZERS[name], 'batch_size': batch_size}
        compared_arms.append(arms.Arm(name, overrides, space_of[name]))
    tuning = tuning_of(budget, seeds, tunings, arms.validation_error, extensions=0)

    def analyse(compared):
        return _analyse(compared, batch_size, float(margin))

    return comparison(lambda config: compared_arms, tuning, analyse, margin=float(margin))


def _validate(optimizers, batch_size, margin):
    names = set(optimizers)
    unknown = names - set(_OPTIMIZERS)
    if unknown or not names & set(_PLAIN) or not names & set(_LAYERWISE):
        allowed = f'one or more of {", ".join(_PLAIN)} and one or more of {", ".join(_LAYERWISE)}'
        raise Refusal(f'optimizers: found {tuple(optimizers)}; allowed: {allowed}')
    if batch_size < 1:
        raise Refusal(f'batch_size: found {batch_size}; allowed: at least 1 example')
    if not margin > 0:
        raise Refusal(f'margin: found {margin}; allowed: a difference of error > 0')


def best_of(scores: Sequence[float], tests: Sequence[float], draws: int = _DRAWS) -> np.ndarray:
    """What tuning with k points gives, k = 1 .. n, by drawing k of the n tried points with
    replacement.

    Returns:
        [2, 3, n]: of the validation error of the best of k points, and of the test error of that
        point, mean, 5 and 95 percent quantiles over the draws. A point that diverged has error 1.
    """
    count = len(scores)
    order = np.argsort(scores, kind='stable')
    # by rank, so that the best so far is a running minimum
    rank = np.empty(count, int)
    rank[order] = np.arange(count)
    drawn = np.random.default_rng(_SEED).integers(count, size=(draws, count))
    # [draws, k]
    best = order[np.minimum.accumulate(rank[drawn], axis=1)]
    curves = []
    for errors in (scores, tests):
        values = np.where(np.isfinite(errors), errors, _CHANCE)[best]
        low, high = np.quantile(values, (0.05, 0.95), axis=0)
        curves.append([values.mean(axis=0), low, high])
    return np.array(curves)


def _analyse(compared: Compared, batch_size: int, margin: float) -> Analysis:
    workdir, tuned, tuning = compared.workdir, compared.results, compared.tuning
    errors, curves = {}, {}
    for name, result in tuned.items():
        errors[name] = compare.tuned_error(workdir, [each[name] for each in compared.tunings])
        tests = arms.final_error(workdir, result.tried)
        curves[name] = best_of(result.scores.tolist(), tests.tolist())
    budget = f'At an equal budget of {tuning.budget}'
    setting = f'at batch size {batch_size}, within {margin:g} ({_PAPER})'
    claims = []
    for plain, layerwise in itertools.product(tuned, tuned):
        if plain in _PLAIN and layerwise in _LAYERWISE:
            claims.append(_claim(plain, layerwise, errors, budget, setting, margin))
    counts = collections.Counter(claim.outcome for claim in claims)
    passed = counts[REPRODUCED] == len(claims)
    if counts[UNDECIDED]:
        passed = None
    best = ', '.join(f'{name} {format_interval(values)}' for name, values in errors.items())
    claims_in_words = ', '.join(f'{counts[outcome]} {outcome}' for outcome in OUTCOMES)
    verdict = (
        f'Test error at batch size {batch_size} after {tuning.budget} points each: {best}. '
        f'Claims: {claims_in_words}.'
    )
    tables = [_arms_table(compared, errors), _pairs_table(errors)]
    title = 'Reality check of layer-wise optimizers'
    return Analysis(title, verdict, tables, _figures(tuned, curves), passed, claims)


def _difference(errors, name, other):
    """By seed; none where an optimizer has no point that did not diverge."""
    if not len(errors[name]) or not len(errors[other]):
        return np.full(1, np.nan)
    return errors[name] - errors[other]


def _claim(plain, layerwise, errors, budget, setting, margin):
    difference = _difference(errors, plain, layerwise)
    measured = f'{plain} - {layerwise}: {format_interval(difference)}'
    words = f'{budget} {plain} matches {layerwise} {setting}'
    claim = judged(words, measured, within, difference, margin)
    effects = tuple(map(float, difference))
    contrasted = (TEST, plain, layerwise)
    claim = claim._replace(paper=_papers.NADO, effects=effects, contrast=contrasted)
    if claim.outcome == NOT_REPRODUCED:
        # the interval lies beyond the margin on one side
        better = plain if np.nanmedian(difference) < 0 else layerwise
        claim = claim._replace(measured=f'{claim.measured}; {better} has the lower error')
    return claim


def _arms_table(compared, errors):
    columns = ['optimizer', 'points', 'diverged', 'learning rate', 'other numbers']
    unit = compare.unit_of(compared.tuning)
    columns += ['validation error', 'edge', 'test error', unit, 'of them diverged']
    rows = []
    for name, result in compared.results.items():
        tried = [len(result.points), _diverged(result.scores)]
        reported = [len(errors[name]), _diverged(errors[name])]
        error = format_interval(errors[name])
        rows.append([name, *tried, *_best_cells(result), error, *reported])
    caption = (
        f'Test error: median over {unit}, of seeds that were not tuned on, with interval. '
        'Edge: where the best point is the outermost tried; the space is not extended, so that '
        'budgets are equal. Points and what was best of them: those of the first tuning.'
    )
    return Table('Optimizers', columns, rows, caption)


def _diverged(errors):
    return int(np.sum(~np.isfinite(errors)))


def _best_cells(result):
    """Learning rate, other numbers, validation error and edge of an optimizer's best point."""
    if result.best is None:
        return ['all diverged', '', '', '']
    others = []
    for path, value in result.best.items():
        if path != _RATE:
            others.append(f'{path.rpartition(".")[2]} {value:.3g}')
    edges = [f'{path.rpartition(".")[2]}: {side}' for path, side in result.edges.items()]
    return [
        f'{result.best[_RATE]:.3g}',
        ', '.join(others),
        f'{result.scores.min():.4f}',
        ', '.join(edges) or 'none',
    ]


def _pairs_table(errors):
    rows = []
    for name, other in itertools.combinations(errors, 2):
        difference = _difference(errors, name, other)
        pairs = int(np.isfinite(difference).sum())
        rows.append([f'{name} - {other}', format_interval(difference), pairs])
    caption = 'Test error of one less that of the other, pair by pair: median with interval.'
    return Table('Paired differences', ['pair', 'difference', 'pairs'], rows, caption)


def _figures(tuned, curves):
    validation, test = 'validation error [fraction]', 'test error [fraction]'
    axes = 'points tried, k'
    band = (
        'Mean and 5 to 95 % over draws of k from the points tried, with replacement; a '
        'diverged point has error 1.'
    )
    scatter = 'Every point, one seed. Points that diverged are not drawn; the table counts them.'
    # places in what `best_of` returns
    best, selected = _bands(curves, 0), _bands(curves, 1)
    title = 'Test error of the point selected'
    labels = 'learning rate', validation
    points = _every_point(tuned)
    return [
        Figure('best_of_k', 'Best of k points', axes, validation, best, 'linear', 'log', band),
        Figure('selected', title, axes, test, selected, 'linear', 'log', band),
        Figure('tried', 'What was tried', *labels, points, 'log', 'log', scatter),
    ]


def _bands(curves, which):
    series = []
    for name, curve in curves.items():
        mean, low, high = curve[which].tolist()
        counts = list(range(1, len(mean) + 1))
        series.append(Series(name, counts, mean, low, high))
    return series


def _every_point(tuned):
    series = []
    for name, result in tuned.items():
        scores = np.where(np.isfinite(result.scores), result.scores, math.nan)
        rates = [point[_RATE] for point in result.points]
        series.append(Series(name, rates, scores.tolist(), style='points'))
    return series
