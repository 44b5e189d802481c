"""The noisy quadratic in the study of local SGD: its trials, what theory says of each, and both
side by side."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lbexp import results
from lbexp.analysis import Figure, Table
from lbexp.studies import Trial
from lbexp.studies._finals import row_of_trial
from lbexp.studies._noisy_quadratic.cases import Row, cases_of_trials, tags_of, theory_and_points

RATE, SPECTRUM = 0.5, (1.2, 0.6, 0.2)
_WORKLOAD = dict(
    name='noisy_quadratic', replicas=500, dimension=3, spectrum=SPECTRUM, noise=1.0, start=0.0
)
_ROWS = 4
_BURN_IN = 400  # [updates]


def cases() -> Iterator[dict[str, Any]]:
    """Workers, k, slow step, inner and outer momentum of each trial."""
    for workers in (1, 2, 8):
        for k in (1, 16):
            for alpha in (0.5, 1.0):
                yield dict(label='SGD', workers=workers, k=k, alpha=alpha)
    for buffer in ('maintain', 'average', 'reset'):
        for alpha in (0.5, 1.0):
            yield dict(
                label=f'momentum, {buffer}', workers=4, k=8, alpha=alpha, beta=0.8, buffer=buffer
            )
    for nesterov in (True, False):
        outer = 'Nesterov' if nesterov else 'heavy ball'
        yield dict(
            label=f'SGD, outer {outer}', workers=4, k=8, alpha=0.7, mu=0.6, nesterov=nesterov
        )
    yield dict(
        label='momentum, outer Nesterov', workers=4, k=8, alpha=0.7, beta=0.8, mu=0.6, nesterov=True
    )


def trials(updates: int) -> list[Trial]:
    """A trial of each case, tagged with it, each with a seed of its own."""
    asked = []
    for seed, case in enumerate(cases()):
        asked.append(Trial(_overrides(seed, case, updates), tags_of(case)))
    return asked


def _overrides(seed, case, updates):
    """One example of each worker in a step, rows at synchronisations."""
    # rows fall on synchronisations
    block = _ROWS * case['k']
    steps = math.ceil((_BURN_IN + updates) / block) * block
    optimizer = dict(name='sgd')
    if 'beta' in case:
        optimizer = dict(name='momentum', momentum=case['beta'])
    return {
        'workload': _WORKLOAD,
        'optimizer': dict(optimizer, learning_rate=RATE),
        'schedule': dict(name='constant'),
        'replicas': dict(
            name='local_sgd',
            workers=case['workers'],
            k=case['k'],
            slow_step_size=case['alpha'],
            outer_momentum=case.get('mu', 0.0),
            nesterov=case.get('nesterov', True),
            buffer_policy=case.get('buffer', 'maintain'),
        ),
        'probes': [dict(name='stationary_moments', population=True, burn_in=_BURN_IN)],
        'batch_size': case['workers'],
        'steps': steps,
        'epochs': None,
        'num_rows': _ROWS,
        'num_evaluations': 1,
        'evaluate_train': 0,
        'num_checkpoints': 1,
        'seed': seed,
    }


def predicted(case: Mapping[str, Any], a: float) -> float:
    """Stationary variance of the slow weights."""
    import jax

    from lbexp.theory.fixed_point import fixed_point
    from lbexp.theory.local_sgd import averaged_variance, local_sgd

    workers, k, alpha = case['workers'], case['k'], case['alpha']
    with jax.enable_x64(True):
        if 'beta' not in case and 'mu' not in case:
            return float(averaged_variance(RATE, a, 1.0, workers, k, alpha))
        process = local_sgd(
            RATE,
            a,
            case.get('beta', 0.0),
            False,
            k,
            alpha,
            case.get('mu', 0.0),
            case.get('nesterov', True),
            case.get('buffer', 'maintain'),
        )
        # the mean over workers has 1 / W of the noise
        rest = fixed_point(process, 1.0 / workers).covariance
        return float(process.evaluation @ rest @ process.evaluation)


def measured(
    workdir: Path, theory: Callable[[Mapping[str, Any], float], float] = predicted
) -> list[Row]:
    """A row for each trial and curvature. `theory` replaces the formulas, to try wrong ones."""
    finals = results.final(workdir)
    row_of = row_of_trial(finals)
    rows = []
    for trial, case in cases_of_trials(workdir, list(cases())):
        variances = finals['fast_coordinate_variance'][row_of[trial]]
        errors = finals['fast_coordinate_variance_error'][row_of[trial]]
        for a, variance, error in zip(SPECTRUM, variances, errors, strict=True):
            facts = {**case, 'a': a, 'weights': 'deployed'}
            exact = theory(case, a)
            rows.append(Row(case['label'], facts, float(variance), float(error), exact, trial))
    return rows


def rows_table(rows: Sequence[Row]) -> Table:
    """Measurement beside theory, a line for each row."""
    columns = ['optimizer of a worker', 'W', 'k', 'slow step', 'outer momentum', 'gamma a']
    columns += ['measured', 'error', 'theory', 'z']
    lines = []
    for row in rows:
        facts = row.facts
        setting = [facts['workers'], facts['k'], facts['alpha'], facts.get('mu', 0.0)]
        lines.append([row.label, *setting, RATE * facts['a'], *row.cells()])
    caption = (
        'Noisy quadratic: variance of the slow weights at rest, at synchronisations; errors are '
        'over independent replicas. Momentum: heavy ball, 0.8, buffers kept, averaged or reset.'
    )
    return Table('Variance of the slow weights', columns, lines, caption)


def ratios(rows: Sequence[Row]) -> Figure:
    """W times the variance over that of one SGD worker, against gamma a: closed form as lines."""
    import jax

    from lbexp.theory.local_sgd import averaged_variance

    h = np.linspace(0.02, 0.8, 100)
    points_of = {}
    for row in rows:
        facts = row.facts
        if row.label == 'SGD':
            gamma_a = RATE * facts['a']
            # W over the variance of one SGD worker, h / (2 - h)
            scale = facts['workers'] * (2 - gamma_a) / gamma_a
            point = gamma_a, row.measured * scale, row.error * scale
            points_of.setdefault((facts['k'], facts['alpha']), []).append(point)
    series = []
    with jax.enable_x64(True):
        for (k, alpha), points in sorted(points_of.items()):
            slow = np.asarray(averaged_variance(h, 1.0, 1.0, 1, k, alpha))
            line = slow * (2 - h) / h
            columns = np.array(points).T
            series += theory_and_points(f'k {k}, slow step {alpha}', (h, line), columns)
    caption = 'Lines: closed form. Points: the trainer, 1, 2 and 8 workers, two standard errors.'
    labels = 'learning rate x curvature', 'W x variance of the slow weights / SGD'
    title = 'W workers have 1 / W of the variance'
    return Figure('variance', title, *labels, series, caption=caption)
