"""How much noise is left in the weights? Stationary variance, in closed form and measured by the
trainer."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Figure, Table
from lbexp.ranges import Fraction, Positive, PositiveFraction, PositiveInteger
from lbexp.studies import Study, Trial
from lbexp.studies._finals import require_test_set, row_of_trial
from lbexp.studies._noisy_quadratic.cases import (
    Case,
    Row,
    cases_of_trials,
    tags_of,
    theory_and_points,
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
from lbexp.studies._presentation.steady_state import claims
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
    cases = list(grid_cases(learning_rates, momenta, ks, slow_step_sizes, ema_decays, batch_sizes))

    def trials(config):
        require_test_set(config)
        curvatures = curvatures_of(config.workload.to_dict())
        asked = []
        for index, case in enumerate(cases):
            overrides = overrides_of(index, case, curvatures, updates)
            asked.append(Trial(overrides, tags_of(case)))
        return moved(asked, config.seed)

    return Study(trials, lambda workdir: analyse(workdir, cases))


Theory = Callable[[dict[str, Any], float], float]  # (facts of a row, noise) -> variance


def analyse(workdir: Path, cases: Sequence[Case], theory: Theory | None = None) -> Analysis:
    """Table, verdict and figures from the rows of a workdir. `theory` replaces the formulas, to try
    wrong ones."""
    rows = measured(workdir, cases, theory or predicted)
    known = [row for row in rows if math.isfinite(row.theory)]
    passed, words = verdict(known)
    noise = results.part(workdir, 'workload').get('noise', 1.0) ** 2
    figures = [_ratios(known, noise), _path(workdir, cases), *_saw_tooth(workdir, rows, noise)]
    tables, asked = [_table(rows)], list(claims(known, noise))
    return Analysis('Steady-state variance', words, tables, figures, passed, asked)


def measured(workdir: Path, cases: Sequence[Case], theory: Theory) -> list[Row]:
    """A row for each trial, curvature and kind of weights."""
    finals = results.final(workdir)
    workload = results.part(workdir, 'workload')
    noise = workload.get('noise', 1.0) ** 2
    curvatures = curvatures_of(workload)
    row_of = row_of_trial(finals)
    rows = []
    for trial, case in cases_of_trials(workdir, cases):
        # on its way to rest, which has a figure of its own
        if case.get('path'):
            continue
        kinds = {'deployed': 'evaluation'}
        # without slow or averaged weights there is one kind
        if 'k' in case or 'ema' in case:
            kinds['fast'] = 'fast'
        for kind, prefix in kinds.items():
            variances = finals[f'{prefix}_coordinate_variance'][row_of[trial]]
            errors = finals[f'{prefix}_coordinate_variance_error'][row_of[trial]]
            for a, variance, error in zip(curvatures, variances, errors, strict=True):
                facts = {**case, 'a': a, 'weights': kind}
                exact = theory(facts, noise)
                rows.append(Row(case['label'], facts, float(variance), float(error), exact, trial))
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
    v = noise / facts.get('B', 1)
    v += facts.get('eta', 0.0) / a**2
    deployed = facts['weights'] == 'deployed'
    if 'k' in facts:
        if deployed and 'beta' not in facts:
            return float(proposition_2(rate, a, v, facts['k'], facts['alpha']))
        process = process_of(facts, a)
        readout = process.evaluation if deployed else process.fast
        return float(readout @ fixed_point(process, v).average @ readout)
    if 'ema' in facts and deployed:
        return float(ema_variance(rate, a, v, facts['ema']))
    beta, nesterov = facts.get('beta', 0.0), facts.get('nesterov', False)
    return float(stationary_variance(rate, a, v, beta, nesterov))


def _table(rows):
    columns = ['optimizer', 'gamma', 'a', 'gamma a', 'k', 'alpha', 'beta', 'B', 'weights']
    columns += ['measured', 'error', 'theory', 'z']
    lines = []
    for row in rows:
        facts = row.facts
        setting = [facts['gamma'], facts['a'], facts['gamma'] * facts['a']]
        setting += [facts.get(name, '') for name in ('k', 'alpha', 'beta', 'B', 'weights')]
        lines.append([row.label, *setting, *row.cells()])
    caption = (
        'Variance of a weight around the optimum at rest; errors are over independent replicas. '
        '"deployed" are the '
        'slow weights of Lookahead, the average of EMA, else the weights; "fast" is the mean '
        'over a cycle.'
    )
    return Table('Stationary variance', columns, lines, caption)


def _ratios(rows, noise):
    """Lookahead's variance over SGD's against gamma a: Proposition 2 as lines, measurements as
    points."""
    from lbexp.theory.lookahead import proposition_2
    from lbexp.theory.stationary_variance import stationary_variance

    points_of = {}
    for row in rows:
        facts = row.facts
        if row.label == 'Lookahead(SGD)' and facts['weights'] == 'deployed':
            gamma, a = facts['gamma'], facts['a']
            sgd = float(stationary_variance(gamma, a, noise))
            point = gamma * a, row.measured / sgd, row.error / sgd
            points_of.setdefault((facts['k'], facts['alpha']), []).append(point)
    series = []
    h = np.linspace(0.01, 1.95, 200)
    for (k, alpha), points in sorted(points_of.items()):
        lookahead = proposition_2(h, 1.0, 1.0, k, alpha)
        line = np.asarray(lookahead / stationary_variance(h, 1.0, 1.0))
        columns = np.array(points).T
        series += theory_and_points(f'k {k}, alpha {alpha}', (h, line), columns)
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
        steps, losses = _whole_paths(rows, members)
        # fewer than two have no error bar
        if len(losses) < 2:
            continue
        expected = _expected_losses(case_of[label], workload, steps.tolist())
        mean = np.mean(losses, axis=0)
        error = np.std(losses, axis=0, ddof=1) / math.sqrt(len(losses))
        series += theory_and_points(label, (steps, expected), (steps, mean, error))
    caption = (
        f'Excess loss of the deployed weights. Lines: theory. Points: {PATHS} trials, two '
        'standard errors; those that diverged are left out.'
    )
    labels = 'updates', 'expected loss'
    return Figure('path', 'The way to rest', *labels, series, 'linear', 'log', caption)


def _whole_paths(rows, members):
    """(steps [rows], losses of these trials [rows] each), of those that went to the end: a trial
    that diverged stands still before it, with no loss in its last row."""
    paths = [rows['trial'] == trial for trial in members]
    longest = max(paths, key=np.count_nonzero)
    steps = rows['step'][longest]
    losses = []
    for path in paths:
        loss = rows['test_loss'][path]
        if len(loss) == len(steps) and np.isfinite(loss).all():
            losses.append(loss)
    return steps, losses


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
    return losses


def _saw_tooth(workdir, rows, noise):
    """Variance of the fast weights at each update within a cycle."""
    from lbexp.theory.fixed_point import fixed_point, within_cycle

    fast = [row for row in rows if row.facts['weights'] == 'fast']
    chosen = [row for row in fast if row.facts.get('saw_tooth')]
    finals = results.final(workdir)
    row_of = row_of_trial(finals)
    updates = np.arange(SAW_TOOTH + 1)
    series = []
    # one trial, so that rows count its coordinates
    for coordinate, row in enumerate(chosen):
        process = process_of(row.facts, row.facts['a'])
        rest = fixed_point(process, noise).covariance
        covariances = within_cycle(process, noise, rest, SAW_TOOTH)
        exact = np.array([float(process.fast @ each @ process.fast) for each in covariances])
        variances, errors = np.empty(SAW_TOOTH), np.empty(SAW_TOOTH)
        place = row_of[row.trial]
        for j in range(SAW_TOOTH):
            name = f'inner_{j}_coordinate_variance'
            variances[j] = finals[name][place][coordinate]
            errors[j] = finals[f'{name}_error'][place][coordinate]
        gamma_a = row.facts['gamma'] * row.facts['a']
        points = updates[:-1], variances, errors
        series += theory_and_points(f'gamma a {gamma_a:.3g}', (updates, exact), points)
    caption = (
        f'Lookahead around SGD, k {SAW_TOOTH}, alpha 0.5. Lines: exact recursion. Points: '
        'the trainer.'
    )
    title = 'The variance of the fast weights is a saw-tooth'
    labels = 'updates since the synchronisation', 'variance'
    return [Figure('saw_tooth', title, *labels, series, caption=caption)]
