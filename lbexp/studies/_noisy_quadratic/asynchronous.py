"""The noisy quadratic in the study of asynchronous workers: its trials, what theory says, and the
best that can be."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import Table
from lbexp.studies import Trial
from lbexp.studies._finals import row_of_trial
from lbexp.studies._noisy_quadratic.cases import Row, cases_of_trials, tags_of

RATE, SPECTRUM = 0.1, (1.2, 0.6)
_WORKLOAD = dict(
    name='noisy_quadratic', replicas=50, dimension=2, spectrum=SPECTRUM, noise=1.0, start=0.0
)
_START, _STEPS = 400, 200  # burn-in of a trial; length of the run whose expected loss is computed


def cases(k: int, alpha: float) -> Iterator[dict[str, Any]]:
    """Delay, workers and optimizer of each case; Lookahead is measured at its synchronisations."""
    for delay, counts in (('constant', (1, 4, 8)), ('geometric', (4, 8))):
        for workers in counts:
            yield dict(label='SGD', delay=delay, workers=workers)
            yield dict(label='Lookahead(SGD)', delay=delay, workers=workers, k=k, alpha=alpha)


def trials(k: int, alpha: float, updates: int, repeats: int) -> list[Trial]:
    """`repeats` trials of each case, tagged with it, each with a seed of its own. Replicas share
    the delays, so trials, not replicas, give errors."""
    asked = []
    for case in cases(k, alpha):
        for _ in range(repeats):
            seed = len(asked)
            asked.append(Trial(_overrides(seed, case, updates), tags_of(case)))
    return asked


def _overrides(seed, case, updates):
    k = case.get('k', 1)
    # measured after whole cycles only
    start = math.ceil(_START / k) * k
    optimizer: dict[str, Any] = dict(name='sgd', learning_rate=RATE)
    if 'k' in case:
        optimizer = dict(name='lookahead', inner=optimizer, k=k, slow_step_size=case['alpha'])
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
        'seed': seed,
    }


def predicted(case: Mapping[str, Any], a: float) -> float:
    """Stationary variance of the deployed weights right after a synchronisation; of SGD's after any
    update."""
    import jax

    from lbexp.theory.fixed_point import fixed_point
    from lbexp.theory.staleness import memoryless, staleness

    workers = case['workers']
    k, alpha = case.get('k'), case.get('alpha', 0.5)
    with jax.enable_x64(True):
        if case['delay'] == 'geometric':
            rest = memoryless(RATE, a, 1.0, workers, k=k, slow_step_size=alpha)
            # of (x, m, s): the slow weights, which are the weights where there is no Lookahead
            return float(rest.covariance[2, 2])
        process = staleness(RATE, a, workers - 1, k=k, slow_step_size=alpha)
        rest = fixed_point(process, 1.0).covariance
        return float(process.evaluation @ rest @ process.evaluation)


def measured(
    workdir: Path,
    k: int,
    alpha: float,
    theory: Callable[[Mapping[str, Any], float], float] = predicted,
) -> list[Row]:
    """A row for each case and curvature: mean over its trials, error from their spread."""
    finals = results.final(workdir)
    row_of = row_of_trial(finals)
    trials_of = {}
    for trial, case in cases_of_trials(workdir, list(cases(k, alpha))):
        trials_of.setdefault(tuple(case.items()), []).append(trial)
    rows = []
    for items, trials in trials_of.items():
        case = dict(items)
        count, first = len(trials), trials[0]
        variances = [finals['evaluation_coordinate_variance'][row_of[trial]] for trial in trials]
        # [trials, coordinates]
        variances = np.array(variances, np.float64)
        means = variances.mean(0)
        errors = variances.std(0, ddof=1) / math.sqrt(count)
        for a, mean, error in zip(SPECTRUM, means, errors, strict=True):
            facts = {**case, 'a': a, 'weights': 'deployed', 'trials': count}
            exact = theory(case, a)
            rows.append(Row(case['label'], facts, float(mean), float(error), exact, first))
    return rows


def rows_table(rows: Sequence[Row]) -> Table:
    """Measurement beside theory, a line for each row."""
    columns = ['server', 'delay', 'W', 'gamma a', 'trials', 'measured', 'error', 'theory', 'z']
    lines = []
    for row in rows:
        facts = row.facts
        setting = [facts['delay'], facts['workers'], RATE * facts['a'], facts['trials']]
        lines.append([row.label, *setting, *row.cells()])
    caption = (
        'Noisy quadratic: variance of the deployed weights at rest. Errors are over '
        'trials, each with its delays.'
    )
    return Table('Variance behind asynchronous workers', columns, lines, caption)


class BestLoss(NamedTuple):
    """Of one optimizer, at the constant learning rate that serves it best."""

    rate: float
    loss: float  # expected, after _STEPS updates
    stable: float  # the largest rate at which the largest curvature is stable


def best_loss(workers: int, k: int, alpha: float) -> tuple[BestLoss, BestLoss]:
    """Those of SGD and of Lookahead around it, with workers that take turns."""
    return _best_loss(workers, None, alpha), _best_loss(workers, k, alpha)


@functools.cache
def _best_loss(workers, k, alpha):
    import jax
    import jax.numpy as jnp

    from lbexp.theory.fixed_point import spectral_radius
    from lbexp.theory.noisy_quadratic import cycle, evaluation_weights, noisy_quadratic, start
    from lbexp.theory.staleness import staleness

    curvatures, noise = 1.0 / np.arange(1, 33), 0.3**2
    rates = np.geomspace(0.01, 3.0, 200)

    def loss_and_radius(rate, a):
        process = staleness(rate, a, workers - 1, k=k, slow_step_size=alpha)
        moments = noisy_quadratic(process, noise, start(process, 1.0), _STEPS)
        mean, variance = evaluation_weights(process, moments)
        matrix, _ = cycle(process, noise)
        return a * (mean**2 + variance) / 2, spectral_radius(matrix)

    # [rates, curvatures]
    with jax.enable_x64(True):
        over_curvatures = jax.vmap(loss_and_radius, (None, 0))
        over_grid = jax.jit(jax.vmap(over_curvatures, (0, None)))
        losses, radii = over_grid(jnp.asarray(rates), jnp.asarray(curvatures))
        losses, radii = np.asarray(losses), np.asarray(radii)
    # the expected loss is the sum over coordinates; one that overflows makes the rate useless
    bounded = np.isfinite(losses).all(axis=1)
    total = np.where(bounded, losses.sum(axis=1), np.inf)
    best = total.argmin()
    # the largest curvature comes first, and is the first to become unstable
    stable = rates[radii[:, 0] < 1]
    return BestLoss(
        rate=float(rates[best]),
        loss=float(total[best]),
        stable=float(stable.max()),
    )
