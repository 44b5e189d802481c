"""How do steps to a target fall with batch size, and where do they stop falling? Per optimizer,
learning rate tuned."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lbexp import results
from lbexp.analysis import REPRODUCED, UNDECIDED, Analysis
from lbexp.engine.plan import shared_microbatch
from lbexp.errors import Refusal
from lbexp.ranges import NonNegativeInteger, Positive, PositiveInteger, Trials
from lbexp.results.metrics import is_lower_better
from lbexp.studies import Study
from lbexp.studies._comparison import arms
from lbexp.studies._comparison.comparison import Compared, comparison
from lbexp.studies._comparison.scaling_figures import scaling_figures
from lbexp.studies._comparison.scaling_fits import scaling_fit, span
from lbexp.studies._judgement import drawn
from lbexp.studies._presentation.steps_to_target import (
    AtSize,
    Scaling,
    draws,
    fits_table,
    format_span,
    steps_table,
)
from lbexp.studies._scaling_claims import (
    hyperbola,
    momentum_over_sgd,
    perfect_scaling,
    preconditioned_over_momentum,
)
from lbexp.studies._spaces import optimizer_spaces

_MOMENTUM = dict(name='momentum', momentum=0.9)
_PRECONDITIONED = ('adamw', 'optax:adam', 'optax:adamw')

# What a name means; any other is a part's.
_OPTIMIZERS = {
    'momentum': _MOMENTUM,
    'lookahead': dict(name='lookahead', k=5, slow_step_size=0.5, inner=_MOMENTUM),
    'lars': dict(name='lars', trust_coefficient=1.0, weight_decay=0.0),
    'lamb': dict(name='lamb', weight_decay=0.0),
    'adamw': dict(name='adamw', weight_decay=0.0),
}
# before a range is extended
_SPACES = {
    'sgd': dict(learning_rate=('log', 0.03, 3.0)),
    'momentum': dict(learning_rate=('log', 0.003, 1.0)),
    'lookahead': dict(inner=dict(learning_rate=('log', 0.003, 1.0))),
    'lars': dict(learning_rate=('log', 0.001, 0.3)),
    'lamb': dict(learning_rate=('log', 0.002, 0.3)),
    'novograd': dict(learning_rate=('log', 0.001, 0.3)),
    'adamw': dict(learning_rate=('log', 0.0003, 0.1)),
}


def steps_to_target(
    optimizers: Sequence[str] = ('sgd', 'momentum', 'lamb'),
    batch_sizes: Sequence[PositiveInteger] = (4, 8, 16, 32, 64, 128, 256, 512),
    target: Positive = 0.05,
    examples: PositiveInteger = 10000,
    updates: PositiveInteger = 150,
    budget: Trials = 7,
    seeds_per_point: Trials = 3,
    seeds: Trials = 15,
    extensions: NonNegativeInteger = 2,
    margin: Positive = 0.15,
    tolerance: Positive = 0.2,
    tunings: Trials = 1,
    spaces: Sequence[Mapping[str, Any]] = (),
    metric: str = 'error',
) -> Study:
    """Steps until the validation error, or another metric, reaches `target`, for each batch size at
    the learning rate that needs fewest.

    A run has updates + examples / B updates, which grows with falling batch size as the S = S_min +
    E_min / B that is fitted does. What does not reach the target within that is censored: it counts
    as longer than any other.

    Args:
        optimizers: sgd, momentum, lookahead, lars, lamb, novograd, adamw, or any other by the name
            of its part, 'optax:rmsprop', with one of `spaces`.
        batch_sizes: [examples per update], ascending, at least 3.
        target: of the metric, in its unit; an error in (0, 1).
        examples, updates: of which a run's length is made.
        budget: learning rates tried for each optimizer and batch size.
        seeds_per_point: seeds with which each of them is tried; the median decides.
        seeds: trials reported for each, and each tuning.
        extensions: rounds of a search after the first, which share half of its budget.
        margin: by how much the slope at small batch sizes may differ from -1.
        tolerance: relative deviation up to which the hyperbola counts as a fit.
        tunings: times that each is tuned, with other points and seeds; with several, the median of
            each tuning is one draw, and intervals are over tunings.
        spaces: what replaces the space of an optimizer: dict(optimizer=..., FIELD=(scale, low,
            high)), its fields, as in lbexp.config.search.
        metric: of the validation set: 'error', the share that is told wrong; or one that the
            workload has, 'loss', 'token_loss', 'perplexity', 'auc': at most the target where less
            is better, else at least.

    Source: Shallue et al. 2019, arXiv:1811.03600; McCandlish et al. 2018, arXiv:1812.06162, Section
        2.3.
    """
    _validate(optimizers, batch_sizes, target, examples, updates, margin, tolerance, metric)
    space_of = optimizer_spaces(spaces, _SPACES, optimizers)
    lengths = {size: updates + math.ceil(examples / size) for size in batch_sizes}
    score = functools.partial(first_reached, target=float(target), metric=metric)
    tuning = arms.Tuning(budget, seeds, score, seeds_per_point, extensions, tunings=tunings)

    def arms_of(config):
        microbatch = shared_microbatch(config['workload'], batch_sizes)
        compared = []
        for name, size in itertools.product(optimizers, batch_sizes):
            compared.append(_arm(name, space_of[name], size, microbatch, lengths[size]))
        return compared

    def analyse(compared):
        reached = first_reached(compared.workdir, float(target), metric)
        scalings: dict[str, Scaling] = {}
        for name in optimizers:
            scalings[name] = _scaling(compared, reached, name, lengths)
        words = drawn(compared.tuning)
        aim = f'{target:.0%} validation error'
        if metric != 'error':
            aim = f'a validation {metric.replace("_", " ")} of {target:g}'
        return _analyse(scalings, aim, words, float(margin), float(tolerance))

    return comparison(arms_of, tuning, analyse)


def _validate(optimizers, batch_sizes, target, examples, updates, margin, tolerance, metric):
    if not optimizers or len(set(optimizers)) < len(optimizers):
        raise Refusal(
            f'optimizers: found {list(optimizers) or "none"}; allowed: one or more, each once'
        )
    ascending = sorted({int(size) for size in batch_sizes}) == list(batch_sizes)
    if len(batch_sizes) < 3 or not ascending or batch_sizes[0] < 1:
        raise Refusal(
            f'batch_sizes: found {tuple(batch_sizes)}; allowed: 3 or more whole '
            'numbers >= 1, ascending'
        )
    if metric == 'error' and not 0 < target < 1:
        raise Refusal(f'target: found {target}; allowed: a validation error in (0, 1)')
    positive = dict(target=target, examples=examples, updates=updates, margin=margin)
    positive['tolerance'] = tolerance
    for name, value in positive.items():
        if not value > 0:
            raise Refusal(f'{name}: found {value}; allowed: a number > 0')


def _arm(name, space, size, microbatch, steps):
    overrides = {
        'optimizer': _OPTIMIZERS.get(name, dict(name=name)),
        'batch_size': size,
        'microbatch': microbatch,
        'steps': steps,
    }
    return arms.Arm(_name(name, size), overrides, space)


def _name(optimizer, size):
    return f'{optimizer}, batch {size}'


def first_reached(workdir: Path, target: float, metric: str = 'error') -> dict[int, float]:
    """{trial: step of the first evaluation at which the validation metric reaches the target; inf:
    none, or diverged}.

    Args:
        metric: 'error', or the name of a metric of the validation set.
    """
    rows, finals = results.load(workdir)
    unmeasured = np.full(len(rows['trial']), np.nan)
    name = 'accuracy' if metric == 'error' else metric
    values = rows.get(f'validation_{name}', unmeasured)
    if metric == 'error':
        reached = 1 - values <= target + 1e-9  # accuracies are means in float32
    elif is_lower_better(metric):
        reached = values <= target
    else:
        reached = values >= target
    first = dict.fromkeys(rows['trial'].tolist(), math.inf)
    trials, steps = rows['trial'][reached], rows['step'][reached]
    for trial, step in zip(trials.tolist(), steps.tolist(), strict=True):
        first[trial] = min(first[trial], float(step))
    diverged = finals['trial'][finals['status'] == 'diverged']
    # what it reached before it diverged does not count
    first.update(dict.fromkeys(diverged.tolist(), math.inf))
    return first


def _scaling(compared: Compared, reached: Mapping[int, float], name, lengths):
    at_sizes = []
    for size, length in lengths.items():
        by_tuning = [tuned[_name(name, size)] for tuned in compared.tunings]
        # a trial without a row has reached nothing yet
        runs = [[reached.get(trial, math.inf) for trial in each.trials] for each in by_tuning]
        every_run = list(itertools.chain.from_iterable(runs))
        first = by_tuning[0]
        at_sizes.append(AtSize(size, length, _rate(first), first, draws(runs), every_run))
    sizes, limits = list(lengths), list(lengths.values())
    fit = scaling_fit(sizes, [of_size.steps for of_size in at_sizes], limits)
    return Scaling(fit, at_sizes)


def _rate(result):
    """The learning rate of the best point; NaN: none reached the target, or none is tuned."""
    for path, value in (result.best or {}).items():
        if path.endswith('learning_rate'):
            return value
    return math.nan


def _analyse(
    scalings: Mapping[str, Scaling], aim: str, words: str, margin: float, tolerance: float
) -> Analysis:
    claims, sentences = [], []
    for name, scaling in scalings.items():
        sizes = [setting.size for setting in scaling.at_sizes]
        claims += [
            perfect_scaling(name, scaling.fit, sizes, margin),
            hyperbola(name, scaling.fit, tolerance),
        ]
        critical = format_span(span(scaling.fit.critical, scaling.fit.seeds))
        sentences.append(f'{name}: critical batch size {critical}')
    passed = None
    if 'sgd' in scalings and 'momentum' in scalings:
        ratio = momentum_over_sgd(scalings['momentum'].fit, scalings['sgd'].fit)
        claims.append(ratio)
        sentences.append(f'momentum over SGD {ratio.measured}')
        if ratio.outcome != UNDECIDED:
            passed = ratio.outcome == REPRODUCED
    for name in set(_PRECONDITIONED) & set(scalings):
        if 'momentum' in scalings:
            claims.append(
                preconditioned_over_momentum(name, scalings[name].fit, scalings['momentum'].fit)
            )
    sentences += _lost(scalings)
    if any(len(setting.steps) < 2 for setting in _settings(scalings)):
        sentences.append('one seed: no interval')
    title = f'Steps to {aim} against batch size'
    tables = [fits_table(scalings), steps_table(scalings, words)]
    return Analysis(title, '; '.join(sentences) + '.', tables, _figures(scalings), passed, claims)


def _settings(scalings):
    return itertools.chain.from_iterable(scaling.at_sizes for scaling in scalings.values())


def _lost(scalings):
    """How many runs were too short, and at how many settings all of them."""
    runs = censored = untuned = 0
    for setting in _settings(scalings):
        runs += len(setting.runs)
        censored += sum(map(math.isinf, setting.runs))
        untuned += setting.result.best is None
    yield f'{censored} of {runs} reported runs censored'
    if untuned:
        yield f'at {untuned} settings no learning rate reached the target'


def _figures(scalings):
    fits, rates = {}, {}
    for name, (fit, at_sizes) in scalings.items():
        fits[name] = fit
        rates[name] = [setting.rate for setting in at_sizes]
    # all optimizers have the same
    of_first = next(iter(scalings.values())).at_sizes
    sizes = [setting.size for setting in of_first]
    limits = [setting.limit for setting in of_first]
    return scaling_figures(fits, rates, sizes, limits)
