"""The noisy quadratic in the study of local SGD: its trials, what theory says of each, and both
side by side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lbexp import results
from lbexp.analysis import Figure, Series, Table
from lbexp.studies import Trial
from lbexp.studies._noisy_quadratic.cases import Row, bars, cases_of_trials, tags_of

RATE, SPECTRUM = 0.5, (1.2, 0.6, 0.2)
_WORKLOAD = dict(
    name='noisy_quadratic', replicas=500, dimension=3, spectrum=SPECTRUM, noise=1.0, start=0.0
)
_ROWS = 4


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
    return [
        Trial(_overrides(seed, case, updates), tags_of(case)) for seed, case in enumerate(cases())
    ]


def _overrides(seed, case, updates):
    """One example of each worker in a step, rows at synchronisations."""
    k, start = case['k'], 400
    count = -(-(start + updates) // (_ROWS * k)) * _ROWS * k
    momentum = dict(name='momentum', momentum=case['beta']) if 'beta' in case else dict(name='sgd')
    return {
        'workload': _WORKLOAD,
        'optimizer': dict(momentum, learning_rate=RATE),
        'schedule': dict(name='constant'),
        'replicas': dict(
            name='local_sgd',
            workers=case['workers'],
            k=k,
            slow_step_size=case['alpha'],
            outer_momentum=case.get('mu', 0.0),
            nesterov=case.get('nesterov', True),
            buffer_policy=case.get('buffer', 'maintain'),
        ),
        'probes': [dict(name='stationary_moments', population=True, burn_in=start)],
        'batch_size': case['workers'],
        'steps': count,
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

    with jax.enable_x64(True):
        if 'beta' not in case and 'mu' not in case:
            return float(averaged_variance(RATE, a, 1.0, case['workers'], case['k'], case['alpha']))
        process = local_sgd(
            RATE,
            a,
            case.get('beta', 0.0),
            False,
            case['k'],
            case['alpha'],
            case.get('mu', 0.0),
            case.get('nesterov', True),
            case.get('buffer', 'maintain'),
        )
        rest = fixed_point(process, 1.0 / case['workers']).covariance
        return float(process.evaluation @ rest @ process.evaluation)


def measured(
    workdir: Path, theory: Callable[[Mapping[str, Any], float], float] = predicted
) -> list[Row]:
    """A row for each trial and curvature. `theory` replaces the formulas, to try wrong ones."""
    finals = results.final(workdir)
    place = {int(trial): row for row, trial in enumerate(finals['trial'])}
    rows = []
    for trial, case in cases_of_trials(workdir, list(cases())):
        values = finals['fast_coordinate_variance'][place[trial]]
        errors = finals['fast_coordinate_variance_error'][place[trial]]
        for a, value, error in zip(SPECTRUM, values, errors, strict=True):
            facts = {**case, 'a': a, 'weights': 'deployed'}
            numbers = float(value), float(error), theory(case, a)
            rows.append(Row(case['label'], facts, *numbers, trial))
    return rows


def rows_table(rows: Sequence[Row]) -> Table:
    """Measurement beside theory, a line for each row."""
    columns = ['optimizer of a worker', 'W', 'k', 'slow step', 'outer momentum', 'gamma a']
    columns += ['measured', 'error', 'theory', 'z']
    lines = []
    for row in rows:
        f = row.facts
        setting = [f['workers'], f['k'], f['alpha'], f.get('mu', 0.0), RATE * f['a']]
        lines.append([row.label, *setting, row.measured, row.error, row.theory, round(row.z, 2)])
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
    by_setting = {}
    for row in rows:
        if row.label == 'SGD':
            by_setting.setdefault((row.facts['k'], row.facts['alpha']), []).append(row)
    series = []
    with jax.enable_x64(True):
        for (k, alpha), members in sorted(by_setting.items()):
            group = f'k {k}, slow step {alpha}'
            line = np.asarray(averaged_variance(h, 1.0, 1.0, 1, k, alpha)) * (2 - h) / h
            x, y, errors = [], [], []
            for row in members:
                gamma_a = RATE * row.facts['a']
                # W over the variance of one SGD worker, h / (2 - h)
                scale = row.facts['workers'] * (2 - gamma_a) / gamma_a
                x.append(gamma_a)
                y.append(row.measured * scale)
                errors.append(row.error * scale)
            series += [
                Series(group, h.tolist(), line.tolist(), group=group),
                Series(group, x, y, *bars(y, errors), 'points', group),
            ]
    caption = 'Lines: closed form. Points: the trainer, 1, 2 and 8 workers, two standard errors.'
    labels = 'learning rate x curvature', 'W x variance of the slow weights / SGD'
    title = 'W workers have 1 / W of the variance'
    return Figure('variance', title, *labels, series, caption=caption)
