"""The noisy quadratic in the study of asynchronous workers: its trials, what theory says, and the
best that can be."""

import math

import numpy as np

from lbexp import results
from lbexp.analysis import Table
from lbexp.studies.steady_state import Row

RATE, SPECTRUM = 0.1, (1.2, 0.6)
_WORKLOAD = dict(
    name='noisy_quadratic', replicas=50, dimension=2, spectrum=SPECTRUM, noise=1.0, start=0.0
)
_START, _STEPS = 400, 200  # burn-in of a trial; length of the run whose expected loss is computed


def cases(k, alpha):
    """Delay, workers and optimizer of each case; Lookahead is measured at its synchronisations."""
    for delay, counts in (('constant', (1, 4, 8)), ('geometric', (4, 8))):
        for workers in counts:
            yield dict(label='SGD', delay=delay, workers=workers)
            yield dict(label='Lookahead(SGD)', delay=delay, workers=workers, k=k, alpha=alpha)


def trial_of(index, case, updates):
    """The overrides that make a trial of a case. Replicas share the delays, so trials, not
    replicas, give errors."""
    k = case.get('k', 1)
    start = -(-_START // k) * k
    sgd = dict(name='sgd', learning_rate=RATE)
    optimizer = (
        dict(name='lookahead', inner=sgd, k=k, slow_step_size=case['alpha']) if 'k' in case else sgd
    )
    probe = dict(
        name='stationary_moments', population=True, burn_in=start, weights='evaluation', every=k
    )
    return {
        'workload': _WORKLOAD,
        'optimizer': optimizer,
        'schedule': dict(name='constant'),
        'replicas': dict(name='asynchronous', workers=case['workers'], delay=case['delay']),
        'probes': [probe],
        'batch_size': 1,
        'steps': start + updates,
        'epochs': None,
        'num_rows': 2,
        'num_evaluations': 1,
        'evaluate_train': 0,
        'num_checkpoints': 1,
        'seed': index,
    }


def predicted(case, a):
    """Stationary variance of the deployed weights right after a synchronisation; of SGD's after any
    update."""
    import jax

    from lbexp.theory.fixed_point import fixed_point
    from lbexp.theory.staleness import memoryless, staleness

    given = dict(k=case.get('k'), slow_step_size=case.get('alpha', 0.5))
    with jax.enable_x64(True):
        if case['delay'] == 'geometric':
            return float(memoryless(RATE, a, 1.0, case['workers'], **given).covariance[2, 2])
        made = staleness(RATE, a, case['workers'] - 1, **given)
        return float(made.evaluation @ fixed_point(made, 1.0).covariance @ made.evaluation)


def measured(workdir, quadratic, theory=predicted):
    """A row for each case and curvature: mean over its trials, error from their spread."""
    finals = results.final(workdir)
    entries = results.entries(workdir)
    place = {int(trial): at for at, trial in enumerate(finals['trial'])}
    found = {}
    for entry in entries:
        overrides = entry['overrides']
        if overrides.get('workload', {}).get('name') == 'noisy_quadratic':
            case = quadratic[overrides['seed']]
            values = finals['evaluation_coordinate_variance'][place[entry['trial']]]
            found.setdefault(tuple(case.items()), []).append((entry['trial'], values))
    rows = []
    for key, members in found.items():
        values = np.array([values for _, values in members], np.float64)
        middle, error = values.mean(0), values.std(0, ddof=1) / math.sqrt(len(values))
        for i, a in enumerate(SPECTRUM):
            facts = {**dict(key), 'a': a, 'weights': 'deployed', 'trials': len(values)}
            expected = theory(dict(key), a)
            rows.append(
                Row(
                    facts['label'],
                    facts,
                    float(middle[i]),
                    float(error[i]),
                    expected,
                    members[0][0],
                )
            )
    return rows


def rows_table(rows):
    columns = ['server', 'delay', 'W', 'gamma a', 'trials', 'measured', 'error', 'theory', 'z']
    lines = [
        [row.label, f['delay'], f['workers'], RATE * f['a'], f['trials']]
        + [row.measured, row.error, row.theory, round(row.z, 2)]
        for row in rows
        for f in [row.facts]
    ]
    caption = (
        'Noisy quadratic: variance of the deployed weights at rest. Errors are over '
        'trials, each with its delays.'
    )
    return Table('Variance behind asynchronous workers', columns, lines, caption)


def best_loss(workers, k, alpha):
    """((best rate, expected loss, largest stable rate) of SGD, the same of Lookahead) with workers
    that take turns."""
    import jax
    import jax.numpy as jnp

    from lbexp.theory.fixed_point import spectral_radius
    from lbexp.theory.noisy_quadratic import cycle, evaluation_weights, noisy_quadratic, start
    from lbexp.theory.staleness import staleness

    curvatures, noise = 1.0 / np.arange(1, 33), 0.3**2
    rates = np.geomspace(0.01, 3.0, 200)

    def of(k):
        def at(rate, a):
            made = staleness(rate, a, workers - 1, k=k, slow_step_size=alpha)
            mean, variance = evaluation_weights(
                made, noisy_quadratic(made, noise, start(made, 1.0), _STEPS)
            )
            return a * (mean**2 + variance) / 2, spectral_radius(cycle(made, noise)[0])

        with jax.enable_x64(True):
            over = jax.jit(jax.vmap(jax.vmap(at, (None, 0)), (0, None)))
            losses, radii = (
                np.asarray(part) for part in over(jnp.asarray(rates), jnp.asarray(curvatures))
            )
        total = np.where(np.isfinite(losses).all(1), losses.sum(1), np.inf)
        stable = rates[radii[:, 0] < 1]
        return float(rates[total.argmin()]), float(total.min()), float(stable.max())

    return of(None), of(k)
