"""How fast do momentum and Lookahead around it converge without noise, against the condition
number?"""

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from annotated_types import Gt

from lbexp import results
from lbexp.analysis import Analysis, Figure, Series, Table
from lbexp.ranges import Fraction, Number, Positive, PositiveFraction, PositiveInteger
from lbexp.studies import Study

# condition numbers of the theory's curve
_CURVE = tuple(10.0**e for e in np.arange(0.0, 8.01, 0.5))
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
    long as float32 lets one look. The claim (Zhang et al. 2019, arXiv:1907.08610, Section 3.2:
    Lookahead helps where momentum is under-damped, costs little where it is over-damped) is told
    with its numbers.

    Args:
        conditions: kappa > 1, ratio of the largest to the smallest curvature.
        momenta: beta in [0, 1).
        k: updates per Lookahead cycle.
        slow_step_size: alpha in (0, 1].
        tolerance: largest relative difference of rates that passes.
    """
    cases = [
        dict(label=label, condition=condition, beta=beta, **rest)
        for label, rest in _optimizers(k, slow_step_size).items()
        for beta in momenta
        for condition in conditions
    ]

    def trials(config):
        rates = dict(_tuned(cases))
        return [_trial(case, rates[_setting(case), case['condition']][1], config) for case in cases]

    def analyse(workdir):
        return _analyse(workdir, cases, momenta, k, slow_step_size, tolerance)

    return Study(trials, analyse)


def measured_rate(steps: Sequence[int], norms: Sequence[float]) -> float:
    """1 - exp(slope) of log |w| against updates over the last two thirds of the rows: |w| falls
    like (1 - rate)^t.

    Rows near float32's underflow (squares of 1e-15 and less) are left out. A mode near critical
    damping falls like t (1 - rate)^t, so the fit has a term in log t too.
    """
    steps, norms = np.asarray(steps, float), np.asarray(norms, float)
    kept = norms > _SMALLEST
    t, y = steps[kept][kept.sum() // 3 :], np.log(norms[kept][kept.sum() // 3 :])
    slope = np.linalg.lstsq(np.stack([t, np.log(t), np.ones_like(t)], axis=1), y, rcond=None)[0][0]
    return float(-np.expm1(slope))


def _optimizers(k, alpha):
    return {
        'momentum': {},
        'Lookahead, maintain': dict(k=k, slow_step_size=alpha, buffer='maintain'),
        'Lookahead, reset': dict(k=k, slow_step_size=alpha, buffer='reset'),
    }


def _setting(case):
    """What the tuned learning rate depends on, beside the condition number."""
    return tuple(
        (name, case[name]) for name in ('beta', 'k', 'slow_step_size', 'buffer') if name in case
    )


def _tuned(cases):
    """((setting, condition), (rate, learning rate)) of every case; one compilation a setting."""
    import jax
    import jax.numpy as jnp

    from lbexp.theory.convergence import tuned_rate

    by_setting = {}
    for case in cases:
        by_setting.setdefault(_setting(case), []).append(case['condition'])
    for setting, conditions in by_setting.items():
        named = dict(setting)
        momentum = named.pop('beta')
        tune = jax.jit(
            lambda c, m=momentum, n=named: jax.lax.map(
                lambda x: tuned_rate(x, m, points=512, **n), c
            )
        )
        rates, learning_rates = tune(jnp.asarray(conditions))
        for condition, *found in zip(conditions, rates, learning_rates, strict=True):
            yield (setting, condition), tuple(float(f) for f in found)


def _trial(case, learning_rate, config):
    spectrum = np.geomspace(1 / case['condition'], 1.0, config.workload.dimension)
    rate = _exact(case, learning_rate, spectrum)
    inner = dict(name='momentum', learning_rate=learning_rate, momentum=case['beta'])
    optimizer = inner
    if 'k' in case:
        rest = dict(k=case['k'], slow_step_size=case['slow_step_size'], momentum=case['buffer'])
        optimizer = dict(name='lookahead', inner=inner, **rest)
    # Rows fall on synchronisations, so that the saw-tooth within a cycle is not mistaken for a
    # trend.
    block = config.num_rows * case.get('k', 20)
    steps = block * math.ceil(-math.log(_FALL) / rate / block)
    return {'optimizer': optimizer, 'steps': steps, 'workload.spectrum': spectrum.tolist()}


def _exact(case, learning_rate, curvatures):
    """The rate of the slowest of these modes."""
    from lbexp.theory.convergence import convergence

    rest = {name: case[name] for name in ('k', 'slow_step_size', 'buffer') if name in case}
    return float(convergence(learning_rate, curvatures, case['beta'], **rest).min())


def _analyse(workdir, cases, momenta, k, alpha, tolerance):
    from lbexp.theory.convergence import damping

    rows = results.read(workdir)
    overrides = {t['trial']: t['overrides'] for t in results.entries(workdir)}
    lines, points = [], {}
    for trial, case in enumerate(cases):
        mine = rows['trial'] == trial
        found = measured_rate(rows['step'][mine], rows['parameter_norm'][mine])
        given = overrides[trial]
        optimizer = given['optimizer']
        rate = optimizer.get('inner', optimizer)['learning_rate']
        curvatures = np.asarray(given['workload.spectrum'])
        expected = _exact(case, rate, curvatures)
        under = float((np.asarray(damping(rate, curvatures, case['beta'])) < 0).mean())
        lines.append(
            [
                case['label'],
                case['beta'],
                case['condition'],
                rate,
                found,
                expected,
                found / expected - 1,
                round(under, 2),
            ]
        )
        points.setdefault((case['label'], case['beta']), []).append((case['condition'], found))
    differences = np.abs([line[6] for line in lines])
    worst, usual = float(differences.max()), float(np.median(differences))
    columns = [
        'optimizer',
        'beta',
        'kappa',
        'learning rate',
        'measured rate',
        'theory',
        'difference',
        'under-damped',
    ]
    caption = (
        'Rates per update, each at its tuned learning rate; the last column is the share '
        'of modes that oscillate.'
    )
    figure, gains = _figure(points, momenta, k, alpha)
    words = (
        f'{len(lines)} rates: trainer and spectral radius differ by {100 * usual:.2f} % in the '
        'median, '
        f'{100 * worst:.1f} % at most. '
        f'Best gain of Lookahead over momentum at equal beta: {gains[0]:.2g} times (kappa '
        f'{gains[1]:.2g}, '
        f'beta {gains[2]}); largest loss: {1 / gains[3]:.2g} times slower (kappa {gains[4]:.2g}, '
        f'beta {gains[5]}).'
    )
    tables = [Table('Rate of convergence', columns, lines, caption)]
    return Analysis(
        'Convergence on quadratics',
        words,
        tables,
        [figure],
        bool(worst <= tolerance and usual <= 0.01),
    )


def _figure(points, momenta, k, alpha):
    """Rate against condition number, theory and trainer; and where Lookahead gains and loses
    most."""
    labels = _optimizers(k, alpha)
    cases = [
        dict(beta=b, condition=c, **rest)
        for rest in labels.values()
        for b in momenta
        for c in _CURVE
    ]
    tuned = dict(_tuned(cases))
    series, curves = [], {}
    for label, rest in labels.items():
        for beta in momenta:
            setting = _setting(dict(beta=beta, **rest))
            # In float32 a rate below 1e-7 is lost: no point of the curve.
            y = [tuned[setting, c][0] if tuned[setting, c][0] > 1e-7 else math.nan for c in _CURVE]
            curves[label, beta] = y
            group = f'{label}, beta {beta}'
            series.append(Series(group, _CURVE, y, group=group))
            if (label, beta) in points:
                x, measured = zip(*points[label, beta], strict=True)
                series.append(Series(group, x, measured, style='points', group=group))
    gains = [
        (curves['Lookahead, maintain', beta][i] / curves['momentum', beta][i], c, beta)
        for beta in momenta
        for i, c in enumerate(_CURVE)
        if c >= 10 and math.isfinite(curves['Lookahead, maintain', beta][i])
    ]
    caption = (
        f'Lookahead: k {k}, alpha {alpha}. Lines: spectral radius at the tuned learning rate. '
        'Points: the trainer. '
        'Momentum is under-damped on the left, where its line is flat at 1 - sqrt(beta), '
        'over-damped on the right.'
    )
    figure = Figure(
        'rate',
        'Rate of convergence',
        'condition number',
        'rate per update',
        series,
        'log',
        'log',
        caption=caption,
    )
    return figure, (*max(gains), *min(gains))
