"""Does a real network's weight variance follow the noisy quadratic? SGD and Lookahead, late, at
constant rate."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lbexp import results
from lbexp.analysis import Analysis
from lbexp.errors import Refusal
from lbexp.ranges import NonNegative, Positive, PositiveFraction, PositiveInteger, Trials
from lbexp.studies import Study, Trial
from lbexp.studies._finals import row_of_trial
from lbexp.studies._network.spectra import (
    SPECTRA_FILE,
    Setting,
    measure_spectra,
    read_spectra,
    settings_of_trials,
)
from lbexp.studies._presentation.network_steady_state import (
    Columns,
    claims,
    figures,
    table,
    verdict,
)
from lbexp.studies._seeds import moved


def network_steady_state(
    learning_rates: Sequence[Positive] = (0.05, 0.1, 0.2),
    batch_sizes: Sequence[PositiveInteger] = (8, 16, 32),
    slow_step_sizes: Sequence[PositiveFraction] = (0.5,),
    k: PositiveInteger = 5,
    weight_decay: NonNegative = 0.01,
    seeds: Trials = 6,
    tolerance: Positive = 0.25,
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
            Fewer than 6 decide nothing.
        tolerance: difference that counts as none, relative: of the power of gamma / B, of measured
            over predicted variance, of Lookahead's share.
        burn_in, latest: updates before measuring, at least and at most.
        updates: that follow the latest.
        spectrum_examples: training examples, the first ones, that Hessian and gradient variance are
            of; None: all.
    """
    settings = _settings(learning_rates, batch_sizes, slow_step_sizes)

    def trials(config):
        asked = []
        for setting in settings:
            for seed in range(seeds):
                overrides = _overrides(setting, seed, k, weight_decay, burn_in, latest, updates)
                asked.append(Trial(overrides, setting.tags()))
        return moved(asked, config.seed)

    def measure(config, workdir):
        measure_spectra(workdir, settings, spectrum_examples)

    def analyse(workdir):
        return _analyse(workdir, settings, k, weight_decay, float(tolerance))

    return Study(trials, analyse, measure=measure)


def _settings(learning_rates, batch_sizes, slow_step_sizes):
    """SGD at every rate with the smallest batch, and at the lowest rate with every other; Lookahead
    at every rate with the smallest batch."""
    smallest = min(batch_sizes)
    rates = list(map(float, learning_rates))
    settings = [Setting(None, gamma, smallest) for gamma in rates]
    for size in batch_sizes:
        if size != smallest:
            settings.append(Setting(None, min(rates), size))
    for alpha, gamma in itertools.product(map(float, slow_step_sizes), rates):
        settings.append(Setting(alpha, gamma, smallest))
    return settings


def _overrides(setting, seed, k, weight_decay, burn_in, latest, updates):
    optimizer = dict(name='sgd', learning_rate=setting.gamma)
    if setting.alpha is not None:
        optimizer = dict(name='lookahead', inner=optimizer, k=k, slow_step_size=setting.alpha)
    # the variance of each weight is summed, so each has to be reported
    probe = dict(
        name='stationary_moments',
        weights='evaluation',
        burn_in=burn_in,
        latest=latest,
        coordinates=10**6,
        batches=16,
    )
    return {
        'optimizer': optimizer,
        'transforms': [dict(name='optax:add_decayed_weights', weight_decay=weight_decay)],
        'batch_size': setting.size,
        'seed': seed,
        'steps': latest + updates,
        'probes': [probe],
    }


def _analyse(workdir, settings, k, weight_decay, tolerance):
    finals = results.final(workdir)
    row_of = row_of_trial(finals)
    spectra = read_spectra(workdir)
    by_setting, seeds = {}, set()
    for trial, setting in settings_of_trials(workdir, settings):
        if trial in spectra:
            final = {name: column[row_of[trial]] for name, column in finals.items()}
            seeds.add(final['seed'])
            numbers = _of_trial(final, spectra[trial], setting, k, weight_decay)
            by_setting.setdefault(setting, {})[final['seed']] = numbers
    if not by_setting:
        file = Path(workdir) / SPECTRA_FILE
        rule = "allowed: the spectra of this study's trials, which its command computes"
        raise Refusal(f'{file}: found none; {rule}')
    columns = {}
    missing = [math.nan] * len(Columns._fields)
    for setting, numbers_of in by_setting.items():
        # seeds in one order, as settings are compared seed by seed
        rows = [numbers_of.get(seed, missing) for seed in sorted(seeds)]
        columns[setting] = Columns(*np.array(rows).T)
    title = 'Steady state of a network'
    tables, asked = [table(columns, k)], list(claims(columns, tolerance))
    return Analysis(title, verdict(columns), tables, figures(columns), None, asked)


def _of_trial(final, spectrum, setting, k, weight_decay):
    """The numbers of one trial in the order of `Columns`."""
    curvatures, noise, _ = spectrum
    # the term lambda |w|^2 / 2, which is no part of the workload's loss
    curvatures = curvatures + weight_decay
    alpha, gamma, size = setting
    updates = final['evaluation_count']
    measured = float(np.sum(final['evaluation_coordinate_variance']))
    predicted = windowed_variance(curvatures, noise / size, gamma, updates, k, alpha)
    loss = final['evaluation_loss_mean']
    drift = abs(final['evaluation_loss_stationarity_z'])
    sharpness = gamma * curvatures.max()
    return measured, predicted, loss, drift, sharpness, final['evaluation_burn_in']


def windowed_variance(
    curvatures: Sequence[float] | np.ndarray,
    noise: Sequence[float] | np.ndarray,
    gamma: float,
    updates: float,
    k: int = 1,
    alpha: float | None = None,
) -> float:
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
    # a direction at rest is AR(1) with coefficient r
    variance = gamma**2 * np.asarray(noise, np.float64) / (1 - r**2)
    steps = float(updates)
    if alpha is not None:
        # Proposition 2; from cycle to cycle the slow weights are AR(1), too
        q = r**k
        variance = variance * alpha * (1 + q) / (alpha * (1 + q) + 2 * (1 - alpha))
        r, steps = 1 - alpha * (1 - q), updates / k
    # the variance of the mean of as many steps of an AR(1)
    correlated = (1 + r) / (1 - r)
    ends = 2 * r * (1 - r**steps) / (steps * (1 - r) ** 2)
    of_mean = variance / steps * (correlated - ends)
    return float(np.sum(variance - of_mean))
