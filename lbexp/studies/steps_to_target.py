"""How do steps to a target fall with batch size, and where do they stop falling? Per optimizer,
learning rate tuned."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from lbexp import config as configs
from lbexp import results
from lbexp.analysis import REPRODUCED, UNDECIDED, Analysis, Claim, Table, equivalence, outcome
from lbexp.engine.plan import shared_microbatch
from lbexp.errors import Refusal
from lbexp.ranges import NonNegativeInteger, OpenFraction, Positive, PositiveInteger, Trials
from lbexp.studies import Study
from lbexp.studies._comparison import arms
from lbexp.studies._comparison.scaling_figures import scaling_figures
from lbexp.studies._comparison.scaling_fits import Fit, scaling_fit, span
from lbexp.theory.critical_batch_size import critical_batch_size, regions
from lbexp.theory.steps_to_target import tuned_steps

_RATE = 'optimizer.learning_rate'
_SHALLUE, _MCCANDLISH, _ZHANG = (
    f'{name}, arXiv:{number}'
    for name, number in (
        ('Shallue et al. 2019', '1811.03600'),
        ('McCandlish et al. 2018', '1812.06162'),
        ('Zhang et al. 2019', '1907.04164'),
    )
)
# What a name means, which number is tuned, and over which range before it is extended.
_KNOWN = {
    'sgd': (dict(name='sgd'), _RATE, (0.03, 3.0)),
    'momentum': (dict(name='momentum', momentum=0.9), _RATE, (0.003, 1.0)),
    'lookahead': (
        dict(name='lookahead', k=5, slow_step_size=0.5, inner=dict(name='momentum', momentum=0.9)),
        'optimizer.inner.learning_rate',
        (0.003, 1.0),
    ),
    'lars': (dict(name='lars', trust_coefficient=1.0, weight_decay=0.0), _RATE, (0.001, 0.3)),
    'lamb': (dict(name='lamb', weight_decay=0.0), _RATE, (0.002, 0.3)),
    'novograd': (dict(name='novograd'), _RATE, (0.001, 0.3)),
}


class _Case(NamedTuple):
    """An optimizer with all its batch sizes."""

    fit: Fit
    found: list  # arms.Found of each batch size
    steps: list  # of each batch size: steps of each seed, inf where censored
    limits: list  # lengths of the runs [updates]


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
    tries: Trials = 3,
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
        tries: seeds with which each of them is tried; the median decides.
        seeds: trials reported for each.
        extensions: times a range of learning rates may grow beyond an edge.
        margin: by how much the slope at small batch sizes may differ from -1.
        tolerance: relative deviation up to which the hyperbola counts as a fit.

    Source: Shallue et al. 2019, arXiv:1811.03600; McCandlish et al. 2018, arXiv:1812.06162, Section
        2.3.
    """
    _validate(optimizers, batch_sizes, target, examples, updates, margin, tolerance)
    lengths = [updates + math.ceil(examples / size) for size in batch_sizes]
    tuning = arms.Tuning(
        budget, seeds, lambda workdir: _reached(workdir, target), tries, extensions
    )
    arms.validate(_arms(optimizers, batch_sizes, lengths, None), tuning)

    def compared(workload):
        return _arms(optimizers, batch_sizes, lengths, shared_microbatch(workload, batch_sizes))

    def trials(config):
        arms.require_validation(config)
        return arms.wanted(compared(configs.plain(config.workload)), tuning)

    def more(config, workdir):
        return arms.more(workdir, compared(configs.plain(config.workload)), tuning)

    def analyse(workdir):
        workload = results.part(workdir, 'workload')
        found = arms.outcome(workdir, compared(workload), tuning)
        reached = _reached(workdir, target)
        cases = {name: _case(found, reached, name, batch_sizes, lengths) for name in optimizers}
        return _analyse(cases, batch_sizes, target, seeds, margin, tolerance)

    return Study(trials, analyse, more)


def _validate(optimizers, batch_sizes, target, examples, updates, margin, tolerance):
    unknown = [name for name in optimizers if name not in _KNOWN]
    if unknown or not optimizers:
        raise Refusal(
            f'optimizers: found {unknown or "none"}; allowed: one or more of {", ".join(_KNOWN)}'
        )
    if (
        len(batch_sizes) < 3
        or sorted({int(size) for size in batch_sizes}) != list(batch_sizes)
        or batch_sizes[0] < 1
    ):
        raise Refusal(
            f'batch_sizes: found {tuple(batch_sizes)}; allowed: 3 or more whole '
            'numbers >= 1, ascending'
        )
    if not 0 < target < 1:
        raise Refusal(f'target: found {target}; allowed: a validation error in (0, 1)')
    for name, value in dict(
        examples=examples, updates=updates, margin=margin, tolerance=tolerance
    ).items():
        if not value > 0:
            raise Refusal(f'{name}: found {value}; allowed: a number > 0')


def _arms(optimizers, batch_sizes, lengths, microbatch):
    made = []
    for name in optimizers:
        part, path, rates = _KNOWN[name]
        for size, length in zip(batch_sizes, lengths, strict=True):
            overrides = {
                'optimizer': part,
                'batch_size': size,
                'microbatch': microbatch,
                'steps': length,
            }
            made.append(arms.Arm(_name(name, size), overrides, {path: ('log', *rates)}))
    return made


def _name(optimizer, size):
    return f'{optimizer}, batch {size}'


def _reached(workdir, target):
    """{trial: step of the first evaluation with a validation error of at most the target; inf:
    none, or diverged}."""
    rows, finals = results.load(workdir)
    error = 1 - rows.get('validation_accuracy', np.full(len(rows['trial']), np.nan))
    there = error <= target + 1e-9  # accuracies are means in float32
    first = {int(trial): math.inf for trial in np.unique(rows['trial'])}
    for trial, step in zip(rows['trial'][there][::-1], rows['step'][there][::-1], strict=True):
        first[int(trial)] = float(step)
    return first | {
        int(trial): math.inf for trial in finals['trial'][finals['status'] == 'diverged']
    }


def _case(found, reached, name, batch_sizes, lengths):
    own = [found[_name(name, size)] for size in batch_sizes]
    steps = [[reached.get(trial, math.inf) for trial in one.trials] for one in own]
    return _Case(scaling_fit(batch_sizes, steps, lengths), own, steps, lengths)


def _analyse(cases, batch_sizes, target, seeds, margin, tolerance):
    title = f'Steps to {target:.0%} validation error against batch size'
    claims = [
        claim for name, case in cases.items() for claim in _claims(name, case, margin, tolerance)
    ]
    said = []
    for name, case in cases.items():
        said.append(f'{name}: critical batch size {_told(span(case.fit.critical, case.fit.seeds))}')
    ratio = None
    if {'sgd', 'momentum'} <= set(cases):
        ratio = _ratio(cases)
        claims.append(ratio)
        said.append(f'momentum over SGD {ratio.measured}')
    all_steps = [step for case in cases.values() for own in case.steps for step in own]
    lost, untuned = (
        sum(map(math.isinf, all_steps)),
        sum(one.best is None for c in cases.values() for one in c.found),
    )
    said.append(f'{lost} of {len(all_steps)} reported runs censored')
    if untuned:
        said.append(f'at {untuned} settings no learning rate reached the target')
    if seeds < 2:
        said.append('one seed: no interval')
    tables = [_fits_table(cases), _steps_table(cases, batch_sizes)]
    fits = {name: case.fit for name, case in cases.items()}
    limits = next(iter(cases.values())).limits
    figures = scaling_figures(
        fits, {name: _rates(name, case) for name, case in cases.items()}, batch_sizes, limits
    )
    passed = None if ratio is None or ratio.outcome == UNDECIDED else ratio.outcome == REPRODUCED
    return Analysis(title, '; '.join(said) + '.', tables, figures, passed, claims)


def _claims(name, case, margin, tolerance):
    slope, low, high = span(case.fit.slope, case.fit.seeds)
    sizes = 'the 3 smallest batch sizes'
    yield Claim(
        (
            f'{name}: at small batch sizes scaling is perfect, steps ~ 1 / B: slope -1 within '
            f'{margin:g} ({_SHALLUE})'
        ),
        f'slope {_told((slope, low, high))} over {sizes}',
        equivalence(low + 1, high + 1, margin),
    )
    deviation, low, high = span(case.fit.deviation, case.fit.seeds)
    yield Claim(
        f'{name}: (S / S_min - 1)(E / E_min - 1) = 1 within {tolerance:.0%} ({_MCCANDLISH})',
        f'deviation, root mean square: {_told((deviation, low, high))}',
        # Chance adds to a root mean square: the interval lies too high rather than too low.
        outcome(-high, -low, -tolerance),
    )


def _ratio(cases):
    one, other = cases['momentum'].fit, cases['sgd'].fit
    with np.errstate(invalid='ignore'):
        values = one.critical / other.critical
    found = span(values, min(one.seeds, other.seeds))
    said = _noisy_quadratic()
    claim = (
        'Momentum extends perfect scaling: a larger critical batch size than SGD '
        f'({_SHALLUE}; {_ZHANG})'
    )
    return Claim(
        claim, f'{_told(found)}; the noisy quadratic says {said:.2g}', outcome(*found[1:], 1.0)
    )


def _noisy_quadratic():
    """Critical batch size of momentum 0.9 over that of SGD, learning rates tuned, 500 curvatures 1
    / i."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        sizes, spectrum = 4.0 ** jnp.arange(10), 1 / jnp.arange(1, 501.0)
        steps = jax.jit(
            lambda beta: jax.lax.map(lambda b: tuned_steps(b, beta, spectrum=spectrum)[0], sizes)
        )
        one, other = (
            critical_batch_size(sizes, steps(beta), [True] * len(sizes)).critical
            for beta in (0.9, 0.0)
        )
    return one / other


def _told(found, limit=None):
    estimate, low, high = found
    if math.isnan(estimate):
        return 'not found: fewer than 3 batch sizes reach the target'
    shown = lambda value: (
        f'{value:.3g}' if math.isfinite(value) else f'> {limit}' if limit else 'beyond all tried'
    )
    if math.isnan(low):
        return f'{shown(estimate)} (one seed: no interval)'
    return f'{shown(estimate)} [{shown(low)}, {shown(high)}]'


def _fits_table(cases):
    rows = []
    for name, case in cases.items():
        numbers = (
            case.fit.critical,
            case.fit.fewest_steps,
            case.fit.fewest_examples,
            case.fit.deviation,
        )
        rows.append([name, *(_told(span(values, case.fit.seeds)) for values in numbers)])
    columns = [
        'optimizer',
        'critical batch size',
        'S_min [updates]',
        'E_min [examples]',
        'deviation',
    ]
    caption = (
        'Least squares of S = S_min + E_min / B over trials, on relative errors, censored ones '
        'included; at the '
        'critical batch size E_min / S_min steps and examples are twice their minimum. '
        'Intervals: bootstrap over '
        'seeds, at the learning rates that tuning chose.'
    )
    return Table('Critical batch sizes', columns, rows, caption)


def _steps_table(cases, batch_sizes):
    columns = [
        'optimizer',
        'batch size',
        'learning rate',
        'tried',
        'reached',
        'steps',
        'examples',
        'slope',
        'region',
    ]
    rows = []
    for name, case in cases.items():
        path = _KNOWN[name][1]
        slopes, critical = _slopes(batch_sizes, case.fit.medians[0]), float(case.fit.critical[0])
        names = [''] * len(batch_sizes) if math.isnan(critical) else regions(batch_sizes, critical)
        for at, (size, one) in enumerate(zip(batch_sizes, case.found, strict=True)):
            rate = (
                'none reached'
                if one.best is None
                else f'{one.best[path]:.3g}'
                + ''.join(f' ({side} edge)' for side in one.edges.values())
            )
            arrived = sum(map(math.isfinite, case.steps[at]))
            steps = span(case.fit.medians[:, at], len(case.steps[at]))
            median = steps[0] * size
            told = _told(steps, case.limits[at]) if case.steps[at] else f'> {case.limits[at]}'
            examples = f'{median:.3g}' if math.isfinite(median) else 'censored'
            counts = [len(one.points), f'{arrived} of {len(case.steps[at])}']
            slope = f'{slopes[at]:.2f}' if math.isfinite(slopes[at]) else ''
            rows.append([name, size, rate, *counts, told, examples, slope, names[at]])
    caption = (
        'Steps: median over seeds, a censored run counting as longer than any other. Slope: d '
        'log steps / d log batch '
        'size between the neighbours. Regions by the fit: perfect scaling below a quarter of the '
        'critical batch size, '
        'stagnation above four times it.'
    )
    return Table('Steps to the target', columns, rows, caption)


def _rates(name, case):
    return [math.nan if one.best is None else one.best[_KNOWN[name][1]] for one in case.found]


def _slopes(batch_sizes, medians):
    """Between the neighbours of each point; NaN beside a censored one."""
    x = np.log(np.asarray(batch_sizes, float))
    y = np.log(np.where(np.isfinite(medians), medians, np.nan))
    return np.gradient(y, x)
