"""How fast do momentum and Lookahead around it converge without noise, against the condition
number?"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Gt

from lbexp import results
from lbexp.analysis import REPRODUCED, Analysis, Figure, Series, Table
from lbexp.ranges import Fraction, Number, Positive, PositiveFraction, PositiveInteger
from lbexp.studies import Study, Trial
from lbexp.studies._noisy_quadratic.cases import cases_of_trials, tags_of
from lbexp.studies._presentation.convergence import Gain, agreement, regimes

# condition numbers of the theory's curve
_CURVE = tuple((10.0 ** np.arange(0.0, 8.01, 0.5)).tolist())
_OF_LOOKAHEAD = ('k', 'slow_step_size', 'buffer_policy')
_SMALLEST = 1e-15  # norms below have squares that underflow
# how far the trainer lets the error fall at least; from 1e17, so that squares stay within float32
_FALL = 1e-30


def convergence(
    conditions: Sequence[Annotated[Number, Gt(1)]] = (10.0, 100.0, 1000.0, 10000.0),
    momenta: Sequence[Fraction] = (0.9, 0.99),
    k: PositiveInteger = 20,
    slow_step_size: PositiveFraction = 0.5,
    tolerance: Positive = 0.1,
) -> Study:
    """Trials over condition numbers and momenta on a quadratic without noise, each at its best
    learning rate.

    The learning rate of each optimizer is tuned by the spectral radius of its cycle
    (theory.convergence.tuned_rate). The trainer's rate is the slope of log |w| against updates over
    the last two thirds of the run, as many updates as let the slowest mode fall by 1e-30; it is
    compared with the largest spectral radius over the workload's own curvatures. The verdict passes
    when the median difference is below 1 % and all are within `tolerance`: the best learning rate
    puts the slowest modes near critical damping, where a few of them beat against each other for as
    long as float32 lets one look.

    Zhang et al. 2019 (arXiv:1907.08610, Section 3.2 and Figure 3) compare the same rates for k 20
    and alpha 0.5, and find Lookahead faster where momentum is under-damped. Here the learning rate
    is tuned for each, and the two regimes are claimed apart, by the spectral radius alone. Momentum
    is under-damped up to the condition number

        kappa = ((1 + sqrt(beta)) / (1 - sqrt(beta)))^2,

    as long as one learning rate lets every mode oscillate; its rate then is 1 - sqrt(beta).

    Args:
        conditions: kappa > 1, ratio of the largest to the smallest curvature.
        momenta: beta in [0, 1).
        k: updates per Lookahead cycle.
        slow_step_size: alpha in (0, 1].
        tolerance: largest relative difference of rates that passes.
    """
    cases = []
    for label, rest in _optimizers(k, slow_step_size).items():
        for beta, condition in itertools.product(momenta, conditions):
            cases.append(dict(label=label, condition=condition, beta=beta, **rest))

    def trials(config):
        tuned = _tuned(cases)
        asked = []
        for case in cases:
            _, learning_rate = tuned[_setting(case), case['condition']]
            asked.append(Trial(_overrides(case, learning_rate, config), tags_of(case)))
        return asked

    def analyse(workdir):
        return _analyse(workdir, cases, momenta, k, slow_step_size, tolerance)

    return Study(trials, analyse)


def measured_rate(steps: Sequence[int], norms: Sequence[float]) -> float:
    """1 - exp(slope) of log |w| against updates over the last two thirds of the rows: |w| falls
    like (1 - rate)^t.

    Rows near float32's underflow (squares of 1e-15 and less) are left out. A mode near critical
    damping falls like t (1 - rate)^t, so the fit has a term in log t too.
    """
    t, norm = np.asarray(steps, float), np.asarray(norms, float)
    sound = norm > _SMALLEST
    t, norm = t[sound], norm[sound]
    first = len(t) // 3
    t, y = t[first:], np.log(norm[first:])
    # y = slope t + power log t + constant
    columns = np.stack([t, np.log(t), np.ones_like(t)], axis=1)
    coefficients, *_ = np.linalg.lstsq(columns, y, rcond=None)
    return float(-np.expm1(coefficients[0]))


def _optimizers(k, alpha):
    lookahead = dict(k=k, slow_step_size=alpha)
    return {
        'momentum': {},
        'Lookahead, maintain': dict(lookahead, buffer_policy='maintain'),
        'Lookahead, reset': dict(lookahead, buffer_policy='reset'),
    }


def _of_lookahead(case):
    return {name: case[name] for name in _OF_LOOKAHEAD if name in case}


def _setting(case):
    """What the tuned learning rate depends on, beside the condition number."""
    return case['beta'], *_of_lookahead(case).items()


def _tuned(cases):
    """{(setting, condition): (rate, learning rate)} of every case; one compilation a setting."""
    import jax
    import jax.numpy as jnp

    from lbexp.theory.convergence import tuned_rate

    by_setting = {}
    for case in cases:
        by_setting.setdefault(_setting(case), []).append(case['condition'])
    tuned = {}
    for setting, conditions in by_setting.items():
        momentum, *lookahead = setting
        tune = functools.partial(tuned_rate, momentum=momentum, points=512, **dict(lookahead))
        over_conditions = jax.jit(functools.partial(jax.lax.map, tune))
        rates, learning_rates = over_conditions(jnp.asarray(conditions))
        pairs = zip(rates.tolist(), learning_rates.tolist(), strict=True)
        for condition, pair in zip(conditions, pairs, strict=True):
            tuned[setting, condition] = pair
    return tuned


def _overrides(case, learning_rate, config):
    spectrum = np.geomspace(1 / case['condition'], 1.0, config.workload.dimension)
    rate = _exact(case, learning_rate, spectrum)
    optimizer = dict(name='momentum', learning_rate=learning_rate, momentum=case['beta'])
    if 'k' in case:
        optimizer = dict(name='lookahead', inner=optimizer, **_of_lookahead(case))
    # Rows fall on synchronisations, so that the saw-tooth within a cycle is not mistaken for a
    # trend.
    block = config.num_rows * case.get('k', 20)
    steps = block * math.ceil(-math.log(_FALL) / rate / block)
    return {'optimizer': optimizer, 'steps': steps, 'workload.spectrum': spectrum.tolist()}


def _exact(case, learning_rate, curvatures):
    """The rate of the slowest of these modes."""
    from lbexp.theory.convergence import convergence

    rates = convergence(learning_rate, curvatures, case['beta'], **_of_lookahead(case))
    return float(rates.min())


def _analyse(workdir, cases, momenta, k, alpha, tolerance):
    table = _table(workdir, cases)
    points, differences = {}, []
    for label, beta, condition, _, measured, _, difference, _ in table.rows:
        points.setdefault((label, beta), []).append((condition, measured))
        differences.append(abs(difference))
    curves = _curves(_optimizers(k, alpha), momenta)
    gains = _gains(curves, momenta)
    claims = [agreement(differences, tolerance), *regimes(gains, k, alpha)]
    best, worst = max(gains), min(gains)
    words = (
        f'{len(table.rows)} rates: {claims[0].measured}. Best gain of Lookahead over momentum at '
        f'equal beta: {best.ratio:.2g} times (kappa {best.condition:.2g}, beta {best.beta}); '
        f'largest loss: {1 / worst.ratio:.2g} times slower (kappa {worst.condition:.2g}, beta '
        f'{worst.beta}).'
    )
    figure = _figure(curves, points, k, alpha)
    passed = claims[0].outcome == REPRODUCED
    return Analysis('Convergence on quadratics', words, [table], [figure], passed, claims)


def _table(workdir, cases):
    """A row for each trial: the trainer's rate beside the spectral radius."""
    from lbexp.theory.convergence import damping

    rows = results.read(workdir)
    overrides = {entry['trial']: entry['overrides'] for entry in results.entries(workdir)}
    lines = []
    for trial, case in cases_of_trials(workdir, cases):
        of_trial = rows['trial'] == trial
        steps, norms = rows['step'][of_trial], rows['parameter_norm'][of_trial]
        measured = measured_rate(steps, norms)
        optimizer = overrides[trial]['optimizer']
        rate = optimizer.get('inner', optimizer)['learning_rate']
        curvatures = np.asarray(overrides[trial]['workload.spectrum'])
        expected = _exact(case, rate, curvatures)
        oscillates = np.asarray(damping(rate, curvatures, case['beta'])) < 0
        setting = [case['label'], case['beta'], case['condition'], rate]
        difference = measured / expected - 1
        share = round(float(oscillates.mean()), 2)
        lines.append([*setting, measured, expected, difference, share])
    columns = ['optimizer', 'beta', 'kappa', 'learning rate', 'measured rate', 'theory']
    columns += ['difference', 'under-damped']
    caption = (
        'Rates per update, each at its tuned learning rate; the last column is the share '
        'of modes that oscillate.'
    )
    return Table('Rate of convergence', columns, lines, caption)


def _gains(curves, momenta):
    """Along the theory's curves."""
    gains = []
    for beta in momenta:
        plain, lookahead = curves['momentum', beta], curves['Lookahead, maintain', beta]
        for condition, slow, fast in zip(_CURVE, plain, lookahead, strict=True):
            # Near kappa = 1 single learning rates are nilpotent, which no grid finds.
            if condition >= 10 and math.isfinite(fast):
                gains.append(Gain(fast / slow, condition, beta))
    return gains


def _figure(curves, points, k, alpha):
    """Rate against condition number, theory and trainer."""
    series = []
    for (label, beta), y in curves.items():
        group = f'{label}, beta {beta}'
        series.append(Series(group, _CURVE, y, group=group))
        if (label, beta) in points:
            x, measured = zip(*points[label, beta], strict=True)
            series.append(Series(group, x, measured, style='points', group=group))
    caption = (
        f'Lookahead: k {k}, alpha {alpha}. Lines: spectral radius at the tuned learning rate. '
        'Points: the trainer. '
        'Momentum is under-damped on the left, where its line is flat at 1 - sqrt(beta), '
        'over-damped on the right.'
    )
    labels = 'condition number', 'rate per update'
    return Figure('rate', 'Rate of convergence', *labels, series, 'log', 'log', caption)


def _curves(optimizers, momenta):
    """{(label, beta): tuned rate at each condition number of _CURVE}."""
    curves = {}
    for label, rest in optimizers.items():
        for beta in momenta:
            cases = [dict(condition=condition, beta=beta, **rest) for condition in _CURVE]
            tuned = _tuned(cases).values()
            rates = np.array([rate for rate, _ in tuned])
            # In float32 a rate below 1e-7 is lost: no point of the curve.
            curves[label, beta] = np.where(rates > 1e-7, rates, math.nan).tolist()
    return curves
