"""The noisy quadratic in the study of local SGD: its trials, what theory says of each, and both
side by side."""

import numpy as np

from lbexp import results
from lbexp.analysis import Figure, Series, Table
from lbexp.studies.steady_state import Row

RATE, SPECTRUM = 0.5, (1.2, 0.6, 0.2)
_WORKLOAD = dict(
    name='noisy_quadratic', replicas=500, dimension=3, spectrum=SPECTRUM, noise=1.0, start=0.0
)
_ROWS = 4


def cases():
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


def trial_of(index, case, updates):
    """The overrides that make a trial of a case: one example of each worker in a step, rows at
    synchronisations."""
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
            momentum=case.get('buffer', 'maintain'),
        ),
        'probes': [dict(name='stationary_moments', population=True, burn_in=start)],
        'batch_size': case['workers'],
        'steps': count,
        'epochs': None,
        'num_rows': _ROWS,
        'num_evaluations': 1,
        'evaluate_train': 0,
        'num_checkpoints': 1,
        'seed': index,
    }


def predicted(case, a):
    """Stationary variance of the slow weights."""
    import jax

    from lbexp.theory.fixed_point import fixed_point
    from lbexp.theory.local_sgd import averaged_variance, local_sgd

    with jax.enable_x64(True):
        if 'beta' not in case and 'mu' not in case:
            return float(averaged_variance(RATE, a, 1.0, case['workers'], case['k'], case['alpha']))
        made = local_sgd(
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
        rest = fixed_point(made, 1.0 / case['workers']).covariance
        return float(made.evaluation @ rest @ made.evaluation)


def measured(workdir, quadratic, theory=predicted):
    """A row for each trial and curvature. `theory` replaces the formulas, to try wrong ones."""
    finals = results.final(workdir)
    entries = results.entries(workdir)
    place = {int(trial): at for at, trial in enumerate(finals['trial'])}
    mine = [
        entry
        for entry in entries
        if entry['overrides'].get('workload', {}).get('name') == 'noisy_quadratic'
    ]
    rows = []
    for entry in mine:
        case, at = quadratic[entry['overrides']['seed']], place[entry['trial']]
        values, errors = (finals[f'fast_coordinate_variance{end}'][at] for end in ('', '_error'))
        for a, value, error in zip(SPECTRUM, values, errors, strict=True):
            facts = {**case, 'a': a, 'weights': 'deployed'}
            rows.append(
                Row(
                    case['label'],
                    facts,
                    float(value),
                    float(error),
                    theory(case, a),
                    entry['trial'],
                )
            )
    return rows


def rows_table(rows):
    columns = ['optimizer of a worker', 'W', 'k', 'slow step', 'outer momentum', 'gamma a']
    columns += ['measured', 'error', 'theory', 'z']
    lines = [
        [row.label, f['workers'], f['k'], f['alpha'], f.get('mu', 0.0), RATE * f['a']]
        + [row.measured, row.error, row.theory, round(row.z, 2)]
        for row in rows
        for f in [row.facts]
    ]
    caption = (
        'Noisy quadratic: variance of the slow weights at rest, at synchronisations; errors are '
        'over independent '
        'replicas. Momentum: heavy ball, 0.8, buffers kept, averaged or reset.'
    )
    return Table('Variance of the slow weights', columns, lines, caption)


def ratios(rows):
    """W times the variance over that of one SGD worker, against gamma a: closed form as lines."""
    import jax

    from lbexp.theory.local_sgd import averaged_variance

    h = np.linspace(0.02, 0.8, 100)
    own = [row for row in rows if row.label == 'SGD']
    series = []
    with jax.enable_x64(True):
        for k, alpha in sorted({(row.facts['k'], row.facts['alpha']) for row in own}):
            group = f'k {k}, slow step {alpha}'
            line = np.asarray(averaged_variance(h, 1.0, 1.0, 1, k, alpha)) * (2 - h) / h
            mine = [row for row in own if (row.facts['k'], row.facts['alpha']) == (k, alpha)]
            x = [RATE * row.facts['a'] for row in mine]
            scale = [row.facts['workers'] * (2 - at) / at for row, at in zip(mine, x, strict=True)]
            y = [row.measured * s for row, s in zip(mine, scale, strict=True)]
            bars = [2 * row.error * s for row, s in zip(mine, scale, strict=True)]
            low, high = ([v + sign * b for v, b in zip(y, bars, strict=True)] for sign in (-1, 1))
            series += [
                Series(group, h, line, group=group),
                Series(group, x, y, low, high, 'points', group),
            ]
    caption = 'Lines: closed form. Points: the trainer, 1, 2 and 8 workers, two standard errors.'
    labels = 'learning rate x curvature', 'W x variance of the slow weights / SGD'
    return Figure(
        'variance', 'W workers have 1 / W of the variance', *labels, series, caption=caption
    )
