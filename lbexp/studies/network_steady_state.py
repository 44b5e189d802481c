"""Does a real network's weight variance follow the noisy quadratic? SGD and Lookahead, late, at
constant rate."""

import math
from collections.abc import Sequence

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis, Figure, Series, Table, interval
from lbexp.config import lookup
from lbexp.ranges import NonNegative, Positive, PositiveFraction, PositiveInteger, Trials
from lbexp.studies import Study


def network_steady_state(
    learning_rates: Sequence[Positive] = (0.05, 0.1, 0.2),
    batch_sizes: Sequence[PositiveInteger] = (8, 16, 32),
    slow_step_sizes: Sequence[PositiveFraction] = (0.5,),
    k: PositiveInteger = 5,
    weight_decay: NonNegative = 0.01,
    seeds: Trials = 4,
    burn_in: PositiveInteger = 7500,
    latest: PositiveInteger = 30000,
    updates: PositiveInteger = 20000,
    spectrum_examples: PositiveInteger | None = None,
) -> Study:
    """Trials of SGD over learning rates and batch sizes, and of Lookahead around it, with replicas
    by seed.

    Each measures the variance of its weights once it has come to rest (probe stationary_moments,
    which tests for that; slow weights for Lookahead), summed over all weights. Beside it stands the
    prediction of the noisy quadratic, made for each trial at its own mean weights: with curvatures
    a_i and eigenvectors of the Hessian of the training loss, and C_i the variance of one example's
    gradient along them, a direction at rest is AR(1) with

        SGD         r = 1 - gamma a,                    V = gamma^2 C / (B (1 - r^2))
        Lookahead   q = 1 - alpha (1 - r^k) per cycle,  V by Proposition 2

    (Zhang et al. 2019, arXiv:1907.08610). What is measured is the variance about the mean of a
    finite window, so the variance of that mean (theory.stationary_variance.tail_variance) is taken
    off: flat directions wander for longer than anyone looks. Directions of negative curvature,
    which the quadratic has no answer for, count as flat.

    Args:
        learning_rates: gamma > 0.
        batch_sizes: examples per update, multiples of the smallest.
        slow_step_sizes: alpha in (0, 1] of the Lookahead trials.
        k: updates per Lookahead cycle.
        weight_decay: lambda >= 0 of a term lambda |w|^2 / 2 in the loss. Without it flat directions
            never come to rest.
        seeds: replicas; all settings share the seeds, so their data and initial weights are paired.
        burn_in, latest: updates before measuring, at least and at most.
        updates: that follow the latest.
        spectrum_examples: training examples, the first ones, that Hessian and gradient variance are
            of; None: all.
    """
    smallest = min(batch_sizes)
    settings = [(None, gamma, smallest) for gamma in learning_rates]
    settings += [(None, min(learning_rates), size) for size in batch_sizes if size != smallest]
    settings += [(alpha, gamma, smallest) for alpha in slow_step_sizes for gamma in learning_rates]
    cases = [(*setting, seed) for setting in settings for seed in range(seeds)]

    def trials(config):
        return [_trial(*case, k, weight_decay, burn_in, latest, updates) for case in cases]

    return Study(
        trials, lambda workdir: _analyse(workdir, cases, k, weight_decay, spectrum_examples)
    )


def _trial(alpha, gamma, size, seed, k, weight_decay, burn_in, latest, updates):
    optimizer = dict(name='sgd', learning_rate=gamma)
    if alpha is not None:
        optimizer = dict(name='lookahead', inner=optimizer, k=k, slow_step_size=alpha)
    probe = dict(name='stationary_moments', weights='evaluation', burn_in=burn_in, latest=latest)
    probe |= dict(coordinates=10**6, batches=16)
    return {
        'optimizer': optimizer,
        'transforms': [dict(name='optax:add_decayed_weights', weight_decay=weight_decay)],
        'batch_size': size,
        'seed': seed,
        'steps': latest + updates,
        'probes': [probe],
    }


def _analyse(workdir, cases, k, weight_decay, count):
    finals = results.final(workdir)
    spectrum = _spectrum(results.part(workdir, 'workload'), count)
    found = {}
    for at, trial in enumerate(finals['trial']):
        alpha, gamma, size, _ = cases[int(trial)]
        curvatures, noise = spectrum(np.asarray(finals['evaluation_coordinate_mean'][at]))
        curvatures = curvatures + weight_decay
        measured = float(np.sum(finals['evaluation_coordinate_variance'][at]))
        seen, began = finals['evaluation_count'][at], finals['evaluation_burn_in'][at]
        predicted = windowed_variance(curvatures, noise / size, gamma, seen, k, alpha)
        loss, z = finals['evaluation_loss_mean'][at], finals['evaluation_loss_stationarity_z'][at]
        sharpest = gamma * curvatures.max()
        found.setdefault((alpha, gamma, size), []).append(
            (measured, predicted, loss, abs(z), sharpest, began)
        )
    found = {setting: np.array(values).T for setting, values in found.items()}
    return Analysis(
        'Steady state of a network', _verdict(found), [_table(found, k)], _figures(found)
    )


def windowed_variance(curvatures, noise, gamma, updates, k=1, alpha=None) -> float:
    """Sum over directions of the expected variance about the mean of `updates` updates, at rest.

    Args:
        curvatures: a_i; those below 1e-6 / gamma count as 1e-6 / gamma, flat for any window in
            reach.
        noise: variance of the update's gradient along each direction.

    Returns:
        inf where a direction is beyond the stability limit, gamma a >= 2: the quadratic has no rest
        there.
    """
    h = np.maximum(gamma * np.asarray(curvatures, np.float64), 1e-6)
    if h.max() >= 2:
        return math.inf
    r = 1 - h
    variance = gamma**2 * np.asarray(noise, np.float64) / (1 - r**2)
    steps = float(updates)
    if alpha is not None:
        q = r**k
        variance = variance * alpha * (1 + q) / (alpha * (1 + q) + 2 * (1 - alpha))
        r, steps = 1 - alpha * (1 - q), updates / k
    of_mean = (
        variance / steps * ((1 + r) / (1 - r) - 2 * r * (1 - r**steps) / (steps * (1 - r) ** 2))
    )
    return float(np.sum(variance - of_mean))


def _spectrum(part, count):
    """Function of flat weights: (Hessian eigenvalues of the training loss, gradient variance along
    each)."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    workload = lookup.build('workload', part)
    params, model_state = workload.init(jax.random.key(0))
    _, unravel = ravel_pytree(params)
    count = min(count or workload.train.size, workload.train.size)
    examples = workload.train.read(workload.train.arrays, jnp.arange(count))

    def losses(weights):
        return workload.loss(unravel(weights), model_state, examples, jax.random.key(0))[0]['loss']

    @jax.jit
    def spectrum(weights):
        # A column at a time: jax.hessian would hold the gradients of all columns at once.
        gradient = jax.grad(lambda w: losses(w).mean())
        column = lambda v: jax.jvp(gradient, (weights,), (v,))[1]
        hessian = jax.lax.map(column, jnp.eye(len(weights), dtype=weights.dtype), batch_size=16)
        values, vectors = jnp.linalg.eigh((hessian + hessian.T) / 2)
        # d loss_n / d w along each eigenvector: one forward pass a direction.
        along = jax.lax.map(lambda v: jax.jvp(losses, (weights,), (v,))[1], vectors.T)
        return values, along.var(axis=1)

    return lambda weights: tuple(np.asarray(x) for x in spectrum(jnp.asarray(weights, jnp.float32)))


def _setting(alpha, gamma, size):
    return ('SGD' if alpha is None else f'Lookahead, alpha {alpha}'), gamma, size


def _table(found, k):
    columns = ['optimizer', 'gamma', 'B', 'gamma / B', 'variance', 'interval', 'predicted', 'ratio']
    columns += ['loss', 'gamma a_max', 'burn-in']
    rows = []
    for (alpha, gamma, size), (measured, predicted, loss, _, sharpest, began) in found.items():
        median, low, high = interval(measured)
        ratio = interval((measured / predicted)[np.isfinite(predicted)])[0]
        ends = [f'[{low:.4g}, {high:.4g}]', interval(predicted)[0], ratio, interval(loss)[0]]
        ends += [interval(sharpest)[0], interval(began)[0]]
        rows.append([*_setting(alpha, gamma, size), gamma / size, median, *ends])
    caption = (
        'Variance of the deployed weights within the window, summed over all weights; medians '
        'over seeds. Lookahead: '
        f'k {k}. "ratio" is measured over predicted, by trial.'
    )
    return Table('Weight variance', columns, rows, caption)


def _verdict(found):
    """The three answers, each with its interval over seeds."""
    sgd = {(gamma, size): values for (alpha, gamma, size), values in found.items() if alpha is None}
    first = min(sgd)
    words = []
    x = np.log([gamma / size for gamma, size in sgd])
    if len(set(x)) > 1:
        slopes = [
            np.polyfit(x, np.log([v[0][i] for v in sgd.values()]), 1)[0]
            for i in range(len(sgd[first][0]))
        ]
        middle, low, high = interval(slopes)
        span = f'{middle:.2f} [{low:.2f}, {high:.2f}]'
        words.append(f'SGD: V ~ (gamma / B)^{span} (the quadratic says 1 for gamma a << 1)')
    for (alpha, gamma, size), values in found.items():
        if alpha is not None and (gamma, size) in sgd:
            seen = interval(values[0] / sgd[gamma, size][0])
            known = np.isfinite(values[1]) & np.isfinite(sgd[gamma, size][1])
            said = interval(values[1][known] / sgd[gamma, size][1][known])[0]
            span = f'{seen[0]:.3f} [{seen[1]:.3f}, {seen[2]:.3f}]'
            words.append(f'gamma {gamma}: Lookahead / SGD {span}, predicted {said:.3f}')
    ratios = np.concatenate([values[0] / values[1] for values in found.values()])
    unstable = int((ratios == 0).sum())
    if unstable:
        words.append(
            f'{unstable} of {len(ratios)} trials are beyond the stability limit of their quadratic'
        )
    middle, low, high = interval(ratios[ratios > 0])
    words.append(f'measured over predicted {middle:.2f} [{low:.2f}, {high:.2f}]')
    restless = sum(int((values[3] > 4).sum()) for values in found.values())
    words.append(f'{restless} of {len(ratios)} trials still drifted (|z| of the loss > 4)')
    return '; '.join(words) + '.'


def _figures(found):
    series = []
    for alpha in sorted({key[0] for key in found}, key=lambda a: -1 if a is None else a):
        points = sorted(
            (gamma / size, *interval(v[0])) for (a, gamma, size), v in found.items() if a == alpha
        )
        lines = sorted(
            (gamma / size, float(np.median(v[1])))
            for (a, gamma, size), v in found.items()
            if a == alpha
        )
        group = _setting(alpha, 0, 0)[0]
        x, y, low, high = (list(column) for column in zip(*points, strict=True))
        low, high = (
            [b if math.isfinite(b) else v for b, v in zip(ends, y, strict=True)]
            for ends in (low, high)
        )
        series.append(Series(group, x, y, low, high, 'points', group))
        series.append(
            Series(group, *(list(column) for column in zip(*lines, strict=True)), group=group)
        )
    caption = (
        'Points: the trainer, intervals over seeds. Lines: the noisy quadratic with '
        'measured Hessian and noise.'
    )
    labels = 'learning rate / batch size', 'variance of the weights'
    return [
        Figure(
            'variance', 'Weight variance at constant rate', *labels, series, 'log', 'log', caption
        )
    ]
