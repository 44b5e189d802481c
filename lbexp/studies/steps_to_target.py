"""How do steps to a target fall with batch size, and where do they stop falling? Per optimizer,
learning rate tuned."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lbexp.analysis import REPRODUCED, UNDECIDED, Analysis
from lbexp.errors import Refusal
from lbexp.ranges import NonNegativeInteger, Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms
from lbexp.studies._comparison.comparison import comparison
from lbexp.studies._comparison.scaling_figures import scaling_figures
from lbexp.studies._comparison.scaling_fits import span
from lbexp.studies._judgement import drawn
from lbexp.studies._presentation.steps_to_target import (
    Scaling,
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
from lbexp.studies._targets import (
    SPACES,
    arms_at_sizes,
    count_at_first_evaluation,
    first_reached,
    lengths,
    scaling_of,
)

_PRECONDITIONED = ('adamw', 'optax:adam', 'optax:adamw')


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
    space_of = optimizer_spaces(spaces, SPACES, optimizers)
    length_of = lengths(batch_sizes, examples, updates)
    score = functools.partial(first_reached, target=float(target), metric=metric)
    tuning = arms.Tuning(budget, seeds, score, seeds_per_point, extensions, tunings=tunings)

    def arms_of(config):
        return arms_at_sizes(config['workload'], space_of, length_of)

    def analyse(compared):
        reached = first_reached(compared.workdir, float(target), metric)
        scalings: dict[str, Scaling] = {}
        for name in optimizers:
            scalings[name] = scaling_of(compared, reached, name, length_of)
        words = drawn(compared.tuning, 'median')
        aim = f'{target:.0%} validation error'
        if metric != 'error':
            aim = f'a validation {metric.replace("_", " ")} of {target:g}'
        at_first = count_at_first_evaluation(compared, reached, metric)
        return _analyse(scalings, aim, words, float(margin), float(tolerance), at_first)

    return comparison(arms_of, tuning, analyse, reports_test=False)


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


def _analyse(
    scalings: Mapping[str, Scaling],
    aim: str,
    words: str,
    margin: float,
    tolerance: float,
    at_first: int,
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
    if at_first:
        sentences.append(
            f'{at_first} runs are at the target by their first evaluation, which bounds their '
            'steps and what is fitted to them from above'
        )
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
