"""How do steps to a target fall with batch size, and where do they stop falling? Per optimizer,
learning rate tuned."""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import REPRODUCED, UNDECIDED, Analysis, Claim, above, below, within
from lbexp.engine.plan import shared_microbatch
from lbexp.errors import Refusal
from lbexp.ranges import NonNegativeInteger, OpenFraction, Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms
from lbexp.studies._comparison.comparison import Compared, comparison
from lbexp.studies._comparison.scaling_figures import scaling_figures
from lbexp.studies._comparison.scaling_fits import scaling_fit, span
from lbexp.studies._presentation.steps_to_target import (
    AtSize,
    Scaling,
    fits_table,
    format_span,
    steps_table,
)
from lbexp.theory.critical_batch_size import critical_batch_size
from lbexp.theory.steps_to_target import tuned_steps

_RATE = 'optimizer.learning_rate'
_SHALLUE = 'Shallue et al. 2019, arXiv:1811.03600'
_MCCANDLISH = 'McCandlish et al. 2018, arXiv:1812.06162'
_ZHANG = 'Zhang et al. 2019, arXiv:1907.04164'
_MOMENTUM = dict(name='momentum', momentum=0.9)


class _Optimizer(NamedTuple):
    """What a name means."""

    optimizer: dict[str, Any]
    rates: tuple[float, float]  # before the range is extended
    path: str = _RATE  # of what is tuned


_KNOWN = {
    'sgd': _Optimizer(dict(name='sgd'), (0.03, 3.0)),
    'momentum': _Optimizer(_MOMENTUM, (0.003, 1.0)),
    'lookahead': _Optimizer(
        dict(name='lookahead', k=5, slow_step_size=0.5, inner=_MOMENTUM),
        (0.003, 1.0),
        'optimizer.inner.learning_rate',
    ),
    'lars': _Optimizer(dict(name='lars', trust_coefficient=1.0, weight_decay=0.0), (0.001, 0.3)),
    'lamb': _Optimizer(dict(name='lamb', weight_decay=0.0), (0.002, 0.3)),
    'novograd': _Optimizer(dict(name='novograd'), (0.001, 0.3)),
}


def steps_to_target(
    optimizers: Sequence[Literal['sgd', 'momentum', 'lookahead', 'lars', 'lamb', 'novograd']] = (
        'sgd',
        'momentum',
        'lamb',
    ),
    batch_sizes: Sequence[PositiveInteger] = (4, 8, 16, 32, 64, 128, 256, 512),
    target: OpenFraction = 0.05,
    examples: PositiveInteger = 10000,
    updates: PositiveInteger = 150,
    budget: Trials = 7,
    seeds_per_point: Trials = 3,
    seeds: Trials = 15,
    extensions: NonNegativeInteger = 2,
    margin: Positive = 0.15,
    tolerance: Positive = 0.2,
) -> Study:
    """Steps until the validation error is at most `target`, for each batch size at the learning
    rate that needs fewest.

    A run has updates + examples / B updates, which grows with falling batch size as the S = S_min +
    E_min / B that is fitted does. What does not reach the target within that is censored: it counts
    as longer than any other.

    Args:
        optimizers: names among sgd, momentum, lookahead, lars, lamb, novograd.
        batch_sizes: [examples per update], ascending, at least 3.
        target: validation error, in (0, 1).
        examples, updates: of which a run's length is made.
        budget: learning rates tried for each optimizer and batch size.
        seeds_per_point: seeds with which each of them is tried; the median decides.
        seeds: trials reported for each.
        extensions: times a range of learning rates may grow beyond an edge.
        margin: by how much the slope at small batch sizes may differ from -1.
        tolerance: relative deviation up to which the hyperbola counts as a fit.

    Source: Shallue et al. 2019, arXiv:1811.03600; McCandlish et al. 2018, arXiv:1812.06162, Section
        2.3.
    """
    _validate(optimizers, batch_sizes, target, examples, updates, margin, tolerance)
    lengths = {size: updates + math.ceil(examples / size) for size in batch_sizes}
    score = functools.partial(first_reached, target=float(target))
    tuning = arms.Tuning(budget, seeds, score, seeds_per_point, extensions)

    def arms_of(config):
        microbatch = shared_microbatch(config['workload'], batch_sizes)
        compared = []
        for name, size in itertools.product(optimizers, batch_sizes):
            compared.append(_arm(name, size, microbatch, lengths[size]))
        return compared

    def analyse(compared):
        reached = first_reached(compared.workdir, float(target))
        scalings: dict[str, Scaling] = {}
        for name in optimizers:
            scalings[name] = _scaling(compared, reached, name, lengths)
        return _analyse(scalings, float(target), seeds, float(margin), float(tolerance))

    return comparison(arms_of, tuning, analyse)


def _validate(optimizers, batch_sizes, target, examples, updates, margin, tolerance):
    unknown = [name for name in optimizers if name not in _KNOWN]
    if unknown or not optimizers:
        raise Refusal(
            f'optimizers: found {unknown or "none"}; allowed: one or more of {", ".join(_KNOWN)}'
        )
    ascending = sorted({int(size) for size in batch_sizes}) == list(batch_sizes)
    if len(batch_sizes) < 3 or not ascending or batch_sizes[0] < 1:
        raise Refusal(
            f'batch_sizes: found {tuple(batch_sizes)}; allowed: 3 or more whole '
            'numbers >= 1, ascending'
        )
    if not 0 < target < 1:
        raise Refusal(f'target: found {target}; allowed: a validation error in (0, 1)')
    positive = dict(examples=examples, updates=updates, margin=margin, tolerance=tolerance)
    for name, value in positive.items():
        if not value > 0:
            raise Refusal(f'{name}: found {value}; allowed: a number > 0')


def _arm(name, size, microbatch, steps):
    known = _KNOWN[name]
    overrides = {
        'optimizer': known.optimizer,
        'batch_size': size,
        'microbatch': microbatch,
        'steps': steps,
    }
    return arms.Arm(_name(name, size), overrides, {known.path: ('log', *known.rates)})


def _name(optimizer, size):
    return f'{optimizer}, batch {size}'


def first_reached(workdir: Path, target: float) -> dict[int, float]:
    """{trial: step of the first evaluation with a validation error of at most the target; inf:
    none, or diverged}."""
    rows, finals = results.load(workdir)
    unmeasured = np.full(len(rows['trial']), np.nan)
    error = 1 - rows.get('validation_accuracy', unmeasured)
    reached = error <= target + 1e-9  # accuracies are means in float32
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
        result = compared.results[_name(name, size)]
        rate = math.nan
        if result.best is not None:
            rate = result.best[_KNOWN[name].path]
        # a trial without a row has reached nothing yet
        steps = [reached.get(trial, math.inf) for trial in result.trials]
        at_sizes.append(AtSize(size, length, rate, result, steps))
    sizes, limits = list(lengths), list(lengths.values())
    fit = scaling_fit(sizes, [of_size.steps for of_size in at_sizes], limits)
    return Scaling(fit, at_sizes)


def _analyse(
    scalings: Mapping[str, Scaling], target: float, seeds: int, margin: float, tolerance: float
) -> Analysis:
    claims, sentences = [], []
    for name, scaling in scalings.items():
        claims += _claims(name, scaling.fit, margin, tolerance)
        critical = format_span(span(scaling.fit.critical, scaling.fit.seeds))
        sentences.append(f'{name}: critical batch size {critical}')
    passed = None
    if 'sgd' in scalings and 'momentum' in scalings:
        ratio = _ratio(scalings['momentum'].fit, scalings['sgd'].fit)
        claims.append(ratio)
        sentences.append(f'momentum over SGD {ratio.measured}')
        if ratio.outcome != UNDECIDED:
            passed = ratio.outcome == REPRODUCED
    sentences += _lost(scalings)
    if seeds < 2:
        sentences.append('one seed: no interval')
    title = f'Steps to {target:.0%} validation error against batch size'
    tables = [fits_table(scalings), steps_table(scalings)]
    figures = _figures(scalings)
    return Analysis(title, '; '.join(sentences) + '.', tables, figures, passed, claims)


def _lost(scalings):
    """How many runs were too short, and at how many settings all of them."""
    runs = censored = untuned = 0
    for _, at_sizes in scalings.values():
        for setting in at_sizes:
            runs += len(setting.steps)
            censored += sum(map(math.isinf, setting.steps))
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


def _claims(name, fit, margin, tolerance):
    slope, low, high = span(fit.slope, fit.seeds)
    yield Claim(
        f'{name}: at small batch sizes scaling is perfect, steps ~ 1 / B: slope -1 within '
        f'{margin:g} ({_SHALLUE})',
        f'slope {format_span((slope, low, high))} over the 3 smallest batch sizes',
        within((low + 1, high + 1), margin),
    )
    deviation, low, high = span(fit.deviation, fit.seeds)
    yield Claim(
        f'{name}: (S / S_min - 1)(E / E_min - 1) = 1 within {tolerance:.0%} ({_MCCANDLISH})',
        f'deviation, root mean square: {format_span((deviation, low, high))}',
        # Chance adds to a root mean square: the interval lies too high rather than too low.
        below((low, high), tolerance),
    )


def _ratio(momentum, sgd):
    # inf / inf where neither turns from perfect scaling
    with np.errstate(invalid='ignore'):
        values = momentum.critical / sgd.critical
    ratio, low, high = span(values, min(momentum.seeds, sgd.seeds))
    return Claim(
        'Momentum extends perfect scaling: a larger critical batch size than SGD '
        f'({_SHALLUE}; {_ZHANG})',
        f'{format_span((ratio, low, high))}; the noisy quadratic says {_noisy_quadratic():.2g}',
        above((low, high), 1.0),
    )


@functools.cache
def _noisy_quadratic():
    """Critical batch size of momentum 0.9 over that of SGD, learning rates tuned, 500 curvatures 1
    / i."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        sizes, spectrum = 4.0 ** jnp.arange(10), 1 / jnp.arange(1, 501.0)

        @jax.jit
        def steps_of(beta):
            def at_size(size):
                steps, _ = tuned_steps(size, beta, spectrum=spectrum)
                return steps

            return jax.lax.map(at_size, sizes)

        def critical(beta):
            steps = steps_of(beta).tolist()
            return critical_batch_size(sizes.tolist(), steps, [True] * len(steps)).critical

        return critical(0.9) / critical(0.0)
