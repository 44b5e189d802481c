"""How much noise is left in the weights? Stationary variance, in closed form and measured by the
trainer."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Figure, Series, Table
from lbexp.ranges import Fraction, Positive, PositiveFraction, PositiveInteger
from lbexp.studies import Study
from lbexp.studies._noisy_quadratic.steady_state import (
    PATHS,
    SAW_TOOTH,
    START,
    curvatures_of,
    grid_cases,
    process_of,
    trial_of,
)


class Row(NamedTuple):
    """One measured variance beside its theory."""

    label: str  # of the optimizer
    facts: dict  # gamma, a, k, alpha, beta, B, weights
    measured: float
    error: float  # standard error of `measured`
    theory: float  # NaN: no closed form
    trial: int

    @property
    def z(self) -> float:
        return (self.measured - self.theory) / self.error


def steady_state(
    learning_rates: Sequence[Positive] = (0.2, 0.5, 1.0),
    momenta: Sequence[Fraction] = (0.5, 0.9),
    ks: Sequence[PositiveInteger] = (5, 20),
    slow_step_sizes: Sequence[PositiveFraction] = (0.2, 0.5, 0.8),
    ema_decays: Sequence[Fraction] = (0.9,),
    batch_sizes: Sequence[PositiveInteger] = (1, 4),
    updates: PositiveInteger = 4000,
) -> Study:
    """Trials over optimizers and hyperparameters on the workload noisy_quadratic; a verdict on
    every |z| at once.

    SGD and momentum at every learning rate; Nesterov, EMA, and Lookahead around SGD likewise;
    Lookahead around momentum with the buffer maintained, reset and interpolated; SGD at every batch
    size, with real batches; gradient noise added to SGD; and, without closed form, LARS, LAMB and
    NovoGrad, whose layers are the replicas. Each measures `updates` updates or more after a burn-in
    of its slowest mode (lbexp.theory.autocorrelation.burn_in).

    The verdict passes when the largest |z| is below 4 and the chi-square of the deployed weights' z
    has a p-value in (0.001, 0.999): a wrong formula shows in the first, error bars that are too
    wide or too narrow in the second.

    Args:
        learning_rates: gamma > 0, below the stability limit of each optimizer for the largest
            curvature.
        momenta: beta in [0, 1).
        ks: updates per Lookahead cycle, >= 1.
        slow_step_sizes: alpha in (0, 1].
        ema_decays: in [0, 1).
        batch_sizes: examples per update, >= 1.
        updates: measured, per trial, at least; 2.5 times the burn-in where that is more.

    Raises:
        ValueError: a number out of range, or an optimizer outside its stability limit.
    """
    grid = dict(
        learning_rates=learning_rates,
        momenta=momenta,
        ks=ks,
        slow_step_sizes=slow_step_sizes,
        ema_decays=ema_decays,
        batch_sizes=batch_sizes,
    )

    cases = list(grid_cases(**grid))

    def trials(config):
        curvatures = curvatures_of(config.workload.to_dict())
        return [trial_of(i, case, curvatures, updates) for i, case in enumerate(cases)]

    return Study(trials, lambda workdir: analyse(workdir, cases))


def analyse(workdir, cases: Sequence[dict], theory=None) -> Analysis:
    """Table, verdict and figures from the rows of a workdir. `theory` replaces the formulas, to try
    wrong ones."""
    rows = measured(workdir, cases, theory or predicted)
    known = [row for row in rows if math.isfinite(row.theory)]
    passed, words = verdict(known)
    return Analysis(
        'Steady-state variance',
        words,
        [_table(rows)],
        [_ratios(known), _path(workdir, cases), *_saw_tooth(workdir, rows)],
        passed,
    )


def verdict(rows: Sequence[Row]) -> tuple[bool, str]:
    """Whether measurement and theory agree, in one sentence."""
    from scipy import stats

    z = np.array([row.z for row in rows])
    # Fast and deployed weights of a trial are correlated; each trial and curvature counts once in
    # the chi-square.
    own = np.array([row.z for row in rows if row.facts['weights'] == 'deployed'])
    largest = float(np.abs(z).max())
    chi = stats.chi2.sf(float(own @ own), len(own))
    sidak = -np.expm1(len(z) * np.log1p(-2 * stats.norm.sf(largest)))
    precise = max(row.error / row.theory for row in rows)
    passed = bool(largest <= 4 and 0.001 < chi < 0.999)
    words = (
        f'{len(rows)} variances with a closed form: largest |z| {largest:.2f} (p {sidak:.3g} for '
        'the largest of '
        f'{len(z)}), chi-square p {chi:.3g} over {len(own)}, largest standard error '
        f'{100 * precise:.2f} % of the '
        f'value: theory and trainer {"agree" if passed else "do NOT agree"}.'
    )
    return passed, words


def measured(workdir, cases: Sequence[dict], theory) -> list[Row]:
    """A row for each trial, curvature and kind of weights."""
    finals = results.final(workdir)
    workload = results.part(workdir, 'workload')
    rows = []
    for at, trial in enumerate(finals['trial']):
        case = cases[int(trial)]
        if case.get('path'):
            continue
        for kind, weights in (('deployed', 'evaluation'), ('fast', 'fast')):
            if kind == 'fast' and not ({'k', 'ema'} & set(case)):
                continue  # they are the same weights
            variances = finals[f'{weights}_coordinate_variance'][at]
            errors = finals[f'{weights}_coordinate_variance_error'][at]
            for a, variance, error in zip(curvatures_of(workload), variances, errors, strict=True):
                facts = {**case, 'a': a, 'weights': kind}
                expected = theory(facts, workload.get('noise', 1.0) ** 2)
                rows.append(
                    Row(case['label'], facts, float(variance), float(error), expected, int(trial))
                )
    return rows


def predicted(facts: dict, noise: float) -> float:
    """The stationary variance of a case; NaN where there is no closed form."""
    from lbexp.theory.fixed_point import fixed_point
    from lbexp.theory.lookahead import proposition_2
    from lbexp.theory.stationary_variance import ema_variance, stationary_variance

    if not facts['known']:
        return math.nan
    rate, a, v = (
        facts['gamma'],
        facts['a'],
        noise / facts.get('B', 1) + facts.get('eta', 0.0) / facts['a'] ** 2,
    )
    deployed = facts['weights'] == 'deployed'
    if 'k' in facts:
        if deployed and 'beta' not in facts:
            return float(proposition_2(rate, a, v, facts['k'], facts['alpha']))
        made = process_of(facts, a)
        seen = made.evaluation if deployed else made.fast
        return float(seen @ fixed_point(made, v).average @ seen)
    if 'ema' in facts and deployed:
        return float(ema_variance(rate, a, v, facts['ema']))
    return float(
        stationary_variance(rate, a, v, facts.get('beta', 0.0), facts.get('nesterov', False))
    )


def _table(rows):
    columns = ['optimizer', 'gamma', 'a', 'gamma a', 'k', 'alpha', 'beta', 'B', 'weights']
    columns += ['measured', 'error', 'theory', 'z']
    cell = lambda facts, name: facts.get(name, '')
    lines = []
    for row in rows:
        f = row.facts
        numbers = [f['gamma'], f['a'], f['gamma'] * f['a']]
        numbers += [cell(f, name) for name in ('k', 'alpha', 'beta', 'B', 'weights')]
        known = math.isfinite(row.theory)
        ends = [row.theory, round(row.z, 2)] if known else ['none', '']
        lines.append([row.label, *numbers, row.measured, row.error, *ends])
    caption = (
        'Variance of a weight around the optimum at rest; errors are over independent replicas. '
        '"deployed" are the '
        'slow weights of Lookahead, the average of EMA, else the weights; "fast" is the mean '
        'over a cycle.'
    )
    return Table('Stationary variance', columns, lines, caption)


def _ratios(rows):
    """Lookahead's variance over SGD's against gamma a: Proposition 2 as lines, measurements as
    points."""
    from lbexp.theory.lookahead import proposition_2
    from lbexp.theory.stationary_variance import stationary_variance

    chosen = [r for r in rows if r.label == 'Lookahead(SGD)' and r.facts['weights'] == 'deployed']
    series = []
    h = np.linspace(0.01, 1.95, 200)
    for k, alpha in sorted({(r.facts['k'], r.facts['alpha']) for r in chosen}):
        group = f'k {k}, alpha {alpha}'
        line = np.asarray(proposition_2(h, 1.0, 1.0, k, alpha) / stationary_variance(h, 1.0, 1.0))
        points = [r for r in chosen if (r.facts['k'], r.facts['alpha']) == (k, alpha)]
        sgd = [float(stationary_variance(r.facts['gamma'], r.facts['a'], 1.0)) for r in points]
        x = [r.facts['gamma'] * r.facts['a'] for r in points]
        y = [r.measured / s for r, s in zip(points, sgd, strict=True)]
        bars = [2 * r.error / s for r, s in zip(points, sgd, strict=True)]
        low, high = ([v + sign * b for v, b in zip(y, bars, strict=True)] for sign in (-1, 1))
        series += [
            Series(group, h, line, group=group),
            Series(group, x, y, low, high, 'points', group),
        ]
    caption = 'Lines: Proposition 2. Points: the trainer, with two standard errors.'
    title = 'Lookahead lowers the variance of SGD'
    labels = 'learning rate x curvature', 'variance of Lookahead / SGD'
    return Figure('variance_ratio', title, *labels, series, caption=caption)


def _path(workdir, cases):
    """Expected loss against updates: exact recursion as lines, the trainer's mean over replicas as
    points."""
    from lbexp.theory.noisy_quadratic import evaluation_weights, noisy_quadratic, start

    rows = results.read(workdir)
    workload = results.part(workdir, 'workload')
    trials = {}
    for trial, case in enumerate(cases):
        if case.get('path'):
            trials.setdefault(case['label'], []).append(trial)
    series = []
    for label, members in trials.items():
        seen = [rows['test_loss'][rows['trial'] == trial] for trial in members]
        steps = rows['step'][rows['trial'] == members[0]]
        exact = np.zeros(len(steps))
        for a in curvatures_of(workload):
            made = process_of(cases[members[0]], a)
            begun, noise = start(made, START), workload.get('noise', 1.0) ** 2
            for i, t in enumerate(steps):
                mean, variance = evaluation_weights(
                    made, noisy_quadratic(made, noise, begun, int(t)), int(t)
                )
                exact[i] += float(a * (mean**2 + variance) / 2)
        middle, error = np.mean(seen, axis=0), np.std(seen, axis=0, ddof=1) / math.sqrt(len(seen))
        series.append(Series(label, steps, exact, group=label))
        series.append(
            Series(label, steps, middle, middle - 2 * error, middle + 2 * error, 'points', label)
        )
    caption = (
        f'Excess loss of the deployed weights. Lines: theory. Points: {PATHS} trials, two '
        'standard errors.'
    )
    labels = 'updates', 'expected loss'
    return Figure('path', 'The way to rest', *labels, series, 'linear', 'log', caption)


def _saw_tooth(workdir, rows):
    """Variance of the fast weights at each update within a cycle."""
    from lbexp.theory.fixed_point import fixed_point, within_cycle

    chosen = [r for r in rows if r.facts.get('saw_tooth') and r.facts['weights'] == 'fast']
    finals = results.final(workdir)
    series = []
    for i, row in enumerate(chosen):
        at = int(np.flatnonzero(finals['trial'] == row.trial)[0])
        made = process_of(row.facts, row.facts['a'])
        exact = within_cycle(made, 1.0, fixed_point(made, 1.0).covariance, SAW_TOOTH)
        line = [float(made.fast @ c @ made.fast) for c in exact]
        inner = [finals[f'inner_{j}_coordinate_variance'][at][i] for j in range(SAW_TOOTH)]
        bars = [2 * finals[f'inner_{j}_coordinate_variance_error'][at][i] for j in range(SAW_TOOTH)]
        low, high = ([v + sign * b for v, b in zip(inner, bars, strict=True)] for sign in (-1, 1))
        group = f'gamma a {row.facts["gamma"] * row.facts["a"]:.3g}'
        series.append(Series(group, list(range(SAW_TOOTH + 1)), line, group=group))
        series.append(Series(group, list(range(SAW_TOOTH)), inner, low, high, 'points', group))
    caption = (
        f'Lookahead around SGD, k {SAW_TOOTH}, alpha 0.5. Lines: exact recursion. Points: '
        'the trainer.'
    )
    title = 'The variance of the fast weights is a saw-tooth'
    labels = 'updates since the synchronisation', 'variance'
    return [Figure('saw_tooth', title, *labels, series, caption=caption)]
