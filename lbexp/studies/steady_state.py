"""How much noise is left in the weights? Stationary variance, in closed form and measured by the
trainer."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Figure, Series, Table
from lbexp.ranges import Fraction, Positive, PositiveFraction, PositiveInteger
from lbexp.studies import Study, Trial
from lbexp.studies._noisy_quadratic.cases import (
    Case,
    Row,
    bars,
    cases_of_trials,
    tags_of,
    verdict,
)
from lbexp.studies._noisy_quadratic.steady_state import (
    PATHS,
    SAW_TOOTH,
    START,
    curvatures_of,
    grid_cases,
    overrides_of,
    process_of,
)
from lbexp.studies._seeds import moved


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
        asked = []
        for index, case in enumerate(cases):
            asked.append(Trial(overrides_of(index, case, curvatures, updates), tags_of(case)))
        return moved(asked, config.seed)

    return Study(trials, lambda workdir: analyse(workdir, cases))


Theory = Callable[[dict[str, Any], float], float]  # (facts of a row, noise) -> variance


def analyse(workdir: Path, cases: Sequence[Case], theory: Theory | None = None) -> Analysis:
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


def measured(workdir: Path, cases: Sequence[Case], theory: Theory) -> list[Row]:
    """A row for each trial, curvature and kind of weights."""
    finals = results.final(workdir)
    workload = results.part(workdir, 'workload')
    noise = workload.get('noise', 1.0) ** 2
    place = {int(trial): row for row, trial in enumerate(finals['trial'])}
    rows = []
    for trial, case in cases_of_trials(workdir, cases):
        if case.get('path'):
            continue
        for kind, weights in (('deployed', 'evaluation'), ('fast', 'fast')):
            if kind == 'fast' and not ({'k', 'ema'} & set(case)):
                continue  # they are the same weights
            variances = finals[f'{weights}_coordinate_variance'][place[trial]]
            errors = finals[f'{weights}_coordinate_variance_error'][place[trial]]
            for a, variance, error in zip(curvatures_of(workload), variances, errors, strict=True):
                facts = {**case, 'a': a, 'weights': kind}
                numbers = float(variance), float(error), theory(facts, noise)
                rows.append(Row(case['label'], facts, *numbers, trial))
    return rows


def predicted(facts: dict[str, Any], noise: float) -> float:
    """The stationary variance of a case; NaN where there is no closed form."""
    from lbexp.theory.fixed_point import fixed_point
    from lbexp.theory.lookahead import proposition_2
    from lbexp.theory.stationary_variance import ema_variance, stationary_variance

    if not facts['known']:
        return math.nan
    rate, a = facts['gamma'], facts['a']
    # of the target that a batch has; gradient noise of variance eta moves it by 1 / a
    v = noise / facts.get('B', 1) + facts.get('eta', 0.0) / a**2
    deployed = facts['weights'] == 'deployed'
    if 'k' in facts:
        if deployed and 'beta' not in facts:
            return float(proposition_2(rate, a, v, facts['k'], facts['alpha']))
        process = process_of(facts, a)
        readout = process.evaluation if deployed else process.fast
        return float(readout @ fixed_point(process, v).average @ readout)
    if 'ema' in facts and deployed:
        return float(ema_variance(rate, a, v, facts['ema']))
    return float(
        stationary_variance(rate, a, v, facts.get('beta', 0.0), facts.get('nesterov', False))
    )


def _table(rows):
    columns = ['optimizer', 'gamma', 'a', 'gamma a', 'k', 'alpha', 'beta', 'B', 'weights']
    columns += ['measured', 'error', 'theory', 'z']
    lines = []
    for row in rows:
        f = row.facts
        numbers = [f['gamma'], f['a'], f['gamma'] * f['a']]
        numbers += [f.get(name, '') for name in ('k', 'alpha', 'beta', 'B', 'weights')]
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
    by_setting = {}
    for row in chosen:
        by_setting.setdefault((row.facts['k'], row.facts['alpha']), []).append(row)
    series = []
    h = np.linspace(0.01, 1.95, 200)
    for (k, alpha), members in sorted(by_setting.items()):
        group = f'k {k}, alpha {alpha}'
        line = np.asarray(proposition_2(h, 1.0, 1.0, k, alpha) / stationary_variance(h, 1.0, 1.0))
        x, y, errors = [], [], []
        for row in members:
            sgd = float(stationary_variance(row.facts['gamma'], row.facts['a'], 1.0))
            x.append(row.facts['gamma'] * row.facts['a'])
            y.append(row.measured / sgd)
            errors.append(row.error / sgd)
        series += [
            Series(group, h.tolist(), line.tolist(), group=group),
            Series(group, x, y, *bars(y, errors), 'points', group),
        ]
    caption = 'Lines: Proposition 2. Points: the trainer, with two standard errors.'
    title = 'Lookahead lowers the variance of SGD'
    labels = 'learning rate x curvature', 'variance of Lookahead / SGD'
    return Figure('variance_ratio', title, *labels, series, caption=caption)


def _path(workdir, cases):
    """Expected loss against updates: exact recursion as lines, the trainer's mean over replicas as
    points."""
    rows = results.read(workdir)
    workload = results.part(workdir, 'workload')
    trials, case_of = {}, {}
    for trial, case in cases_of_trials(workdir, cases):
        if case.get('path'):
            trials.setdefault(case['label'], []).append(trial)
            case_of[case['label']] = case
    series = []
    for label, members in trials.items():
        losses = [rows['test_loss'][rows['trial'] == trial] for trial in members]
        steps = rows['step'][rows['trial'] == members[0]].tolist()
        middle = np.mean(losses, axis=0).tolist()
        error = (np.std(losses, axis=0, ddof=1) / math.sqrt(len(losses))).tolist()
        series += [
            Series(label, steps, _expected_losses(case_of[label], workload, steps), group=label),
            Series(label, steps, middle, *bars(middle, error), 'points', label),
        ]
    caption = (
        f'Excess loss of the deployed weights. Lines: theory. Points: {PATHS} trials, two '
        'standard errors.'
    )
    labels = 'updates', 'expected loss'
    return Figure('path', 'The way to rest', *labels, series, 'linear', 'log', caption)


def _expected_losses(case, workload, steps):
    """Sum over curvatures of a (mean^2 + variance) / 2 of the deployed weights, after these
    updates."""
    from lbexp.theory.noisy_quadratic import evaluation_weights, noisy_quadratic, start

    noise = workload.get('noise', 1.0) ** 2
    losses = np.zeros(len(steps))
    for a in curvatures_of(workload):
        process = process_of(case, a)
        initial = start(process, START)
        for i, t in enumerate(steps):
            moments = noisy_quadratic(process, noise, initial, t)
            mean, variance = evaluation_weights(process, moments, t)
            losses[i] += float(a * (mean**2 + variance) / 2)
    return losses.tolist()


def _saw_tooth(workdir, rows):
    """Variance of the fast weights at each update within a cycle."""
    from lbexp.theory.fixed_point import fixed_point, within_cycle

    chosen = [r for r in rows if r.facts.get('saw_tooth') and r.facts['weights'] == 'fast']
    finals = results.final(workdir)
    place = {int(trial): row for row, trial in enumerate(finals['trial'])}
    updates = list(range(SAW_TOOTH + 1))
    series = []
    for i, row in enumerate(chosen):
        process = process_of(row.facts, row.facts['a'])
        exact = within_cycle(process, 1.0, fixed_point(process, 1.0).covariance, SAW_TOOTH)
        line = [float(process.fast @ covariance @ process.fast) for covariance in exact]
        values, errors = [], []
        for j in range(SAW_TOOTH):
            name = f'inner_{j}_coordinate_variance'
            values.append(float(finals[name][place[row.trial]][i]))
            errors.append(float(finals[f'{name}_error'][place[row.trial]][i]))
        group = f'gamma a {row.facts["gamma"] * row.facts["a"]:.3g}'
        series += [
            Series(group, updates, line, group=group),
            Series(group, updates[:-1], values, *bars(values, errors), 'points', group),
        ]
    caption = (
        f'Lookahead around SGD, k {SAW_TOOTH}, alpha 0.5. Lines: exact recursion. Points: '
        'the trainer.'
    )
    title = 'The variance of the fast weights is a saw-tooth'
    labels = 'updates since the synchronisation', 'variance'
    return [Figure('saw_tooth', title, *labels, series, caption=caption)]
