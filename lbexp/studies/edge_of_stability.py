"""Does full-batch training settle where theory says that it is no longer stable, and how far below
with noise?"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lbexp import results
from lbexp.analysis import (
    REPRODUCED,
    Analysis,
    Figure,
    Series,
    Table,
    format_interval,
    judged,
    within,
)
from lbexp.ranges import Fraction, Positive, PositiveFraction, PositiveInteger
from lbexp.studies import Study, Trial

_LAST = 1 / 3  # of the measurements: those that the level is the median of
_TOLERANCE = 0.1
_B1 = 0.9  # of Adam
_PRODUCTS, _EXAMPLES = 12, 512
_CAPTION = (
    'The largest eigenvalue of the Hessian (of Adam: preconditioned) over the training set, '
    'divided by that at which the optimizer is no longer stable on a quadratic; level: median over '
    'the last third of the measurements, with its interval over seeds.'
)


def edge_of_stability(
    rate: Positive = 0.2,
    momentum: Fraction = 0.9,
    heavy_ball_rate: Positive = 0.15,
    nesterov_rate: Positive = 0.07,
    adam_rate: Positive = 0.01,
    k: PositiveInteger = 5,
    slow_step_size: PositiveFraction = 0.5,
    batch_sizes: Sequence[PositiveInteger] = (8, 32, 128),
    seeds: PositiveInteger = 6,
) -> Study:
    """Gradient descent, heavy ball, Nesterov, Adam and Lookahead on full batches, and SGD on
    smaller ones; the largest Hessian eigenvalue while they train, as a share of the limit of
    stability that `lbexp.theory.limits` gives for each.

    The level is the median over the last third of the measurements. Claims: each full-batch level
    is 1 within 10 % (Cohen et al. 2021, arXiv:2103.00065; 2022, arXiv:2207.14484 for Adam). That of
    SGD falls with the batch size: told with its interval.

    Args:
        rate: of gradient descent, Lookahead and SGD.
        momentum: of heavy ball and Nesterov.
        heavy_ball_rate, nesterov_rate: such that the network starts below the limit and reaches it.
        adam_rate: of Adam, with b1 = 0.9.
        k, slow_step_size: of Lookahead.
        batch_sizes: of SGD.
        seeds: of each; below 6 nothing is decided.
    """
    rates = _Rates(rate, heavy_ball_rate, nesterov_rate, adam_rate)
    arms = _arms(rates, momentum, k, slow_step_size)

    def trials(config):
        asked = []
        # Under another seed of the configuration no trial has a seed of these.
        for seed in range(config.seed * seeds, (config.seed + 1) * seeds):
            for arm in arms:
                asked.append(_trial(arm, seed, {}))
            for size in batch_sizes:
                sgd = arms[0]._replace(name=f'SGD, batch {size}')
                asked.append(_trial(sgd, seed, {'batch_size': size}))
        return asked

    def analyse(workdir):
        shares = {arm.name: arm.share for arm in arms}
        noisy = [f'SGD, batch {size}' for size in batch_sizes]
        paths = _paths(workdir, shares | dict.fromkeys(noisy, arms[0].share))
        return _analysis(paths, list(shares))

    return Study(trials, analyse)


def _analysis(paths, judged_names):
    rows, claims = [], []
    for name, of_seeds in paths.items():
        levels = [_level(path) for path in of_seeds]
        rows.append([name, format_interval(levels)])
        if name in judged_names:
            claim = f'{name} settles at its limit of stability (Cohen et al. 2021, 2022)'
            differences = np.asarray(levels) - 1
            measured = f'level {format_interval(levels)}, less 1: {format_interval(differences)}'
            claims.append(judged(claim, measured, within, differences, _TOLERANCE))
    held = sum(claim.outcome == REPRODUCED for claim in claims)
    words = f'{held} of {len(claims)} optimizers are shown to settle within 10 % of their limit.'
    title = 'Largest eigenvalue as a share of the limit'
    table = Table(title, ['optimizer', 'level'], rows, _CAPTION)
    passed = held == len(claims)
    return Analysis('Edge of stability', words, [table], [_figure(paths)], passed, claims)


class _Arm(NamedTuple):
    """An optimizer, and what its largest eigenvalue is multiplied by to be 1 at the limit."""

    name: str
    optimizer: dict
    share: float
    preconditioned: bool


class _Rates(NamedTuple):
    descent: Any
    heavy_ball: Any
    nesterov: Any
    adam: Any


def _arms(rates, momentum, k, slow_step_size):
    from lbexp.theory.limits import learning_rate_limit, lookahead_rate_limit

    descent = dict(name='sgd', learning_rate=rates.descent)
    heavy_ball = dict(name='momentum', learning_rate=rates.heavy_ball, momentum=momentum)
    nesterov = dict(heavy_ball, learning_rate=rates.nesterov, nesterov=True)
    # without decay, as the theory has it
    adam = dict(name='adamw', learning_rate=rates.adam, b1=_B1, weight_decay=0.0)
    around = dict(name='lookahead', k=k, slow_step_size=slow_step_size, inner=descent)
    limits = [
        learning_rate_limit(1.0),
        learning_rate_limit(1.0, momentum),
        learning_rate_limit(1.0, momentum, nesterov=True),
        learning_rate_limit(1.0, _B1) / (1 - _B1),  # its buffer is an average
        lookahead_rate_limit(1.0, k, slow_step_size),
    ]
    names = ['gradient descent', 'heavy ball', 'Nesterov', 'Adam', 'Lookahead']
    used = [*rates, rates.descent]
    arms = []
    optimizers = [descent, heavy_ball, nesterov, adam, around]
    for name, optimizer, rate, limit in zip(names, optimizers, used, limits, strict=True):
        arms.append(_Arm(name, optimizer, rate / float(limit), name == 'Adam'))
    return arms


def _trial(arm, seed, overrides):
    probe = dict(
        name='hessian',
        eigenvalues=1,
        products=_PRODUCTS,
        examples=_EXAMPLES,
        preconditioned=arm.preconditioned,
    )
    fields = {'optimizer': arm.optimizer, 'probes': [probe], 'seed': seed}
    return Trial(fields | overrides, {'arm': arm.name})


def _paths(workdir, shares):
    """{name: [(steps, shares of the limit) of each trial]}."""
    rows = results.read(workdir)
    finals = results.final(workdir)
    done = set(finals['trial'][finals['status'] == 'done'].tolist())
    paths = {name: [] for name in shares}
    for trial, tags in results.roles(workdir):
        name = tags['arm']
        of_trial = rows['trial'] == trial
        column = 'preconditioned_hessian_top' if name == 'Adam' else 'hessian_top'
        tops = []
        for value in rows[column][of_trial]:
            tops.append(_first(value))
        tops = np.asarray(tops, float)
        is_measured = np.isfinite(tops)
        # what diverged has no level
        if trial not in done:
            is_measured[:] = False
        paths[name].append((rows['step'][of_trial][is_measured], shares[name] * tops[is_measured]))
    return paths


def _first(value):
    """The largest eigenvalue of a row; NaN where none was measured."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    return float(np.ravel(value)[0])


def _level(path):
    """Median over the last measurements; NaN of a trial that diverged before."""
    _, shares = path
    last = shares[-max(1, round(len(shares) * _LAST)) :]
    if not len(last):
        return math.nan
    return float(np.median(last))


def _figure(paths):
    """Share of the limit over updates, a curve for each seed."""
    series = []
    for name, of_seeds in paths.items():
        for steps, shares in of_seeds:
            series.append(Series(name, steps, shares, group=name))
    labels = 'updates', 'largest eigenvalue / limit of stability'
    return Figure('stability', 'Edge of stability', *labels, series, caption=_CAPTION)
