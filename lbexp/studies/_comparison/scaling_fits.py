"""Steps to a target against batch size: the hyperbola through them, with censored runs and
intervals over seeds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp.theory.critical_batch_size import critical_batch_size

RESAMPLES = 1000
SEED = 18110
SMALLEST = 3  # batch sizes from which the slope of perfect scaling is read


class Fit(NamedTuple):
    """Of each number the estimate, then the same from each resample of the seeds: [1 +
    RESAMPLES]."""

    # of the steps [1 + RESAMPLES, batch sizes]; inf: at least half of the seeds are censored
    medians: np.ndarray
    critical: np.ndarray  # batch size; inf: no turn from perfect scaling is seen
    fewest_steps: np.ndarray
    fewest_examples: np.ndarray
    deviation: np.ndarray  # root mean square of (fit / median - 1)
    slope: np.ndarray  # d log steps / d log batch size over the SMALLEST batch sizes
    seeds: int  # fewest at a batch size


def scaling_fit(
    batch_sizes: Sequence[int], steps: Sequence[Sequence[float]], limits: Sequence[int]
) -> Fit:
    """Fits S = S_min + E_min / B to all trials, and to those of resampled seeds.

    A censored trial takes part as one that needs longer than its run was
    (theory.critical_batch_size); in a median it counts as inf. Where tuning found no rate that
    reaches the target, one censored trial stands for the batch size. Seeds are resampled at each
    batch size on its own; the learning rates that tuning chose stay.

    Args:
        batch_sizes: [examples per update], ascending.
        steps: for each batch size the steps of each seed; inf where censored; none where tuning
            found no rate.
        limits: for each batch size the length of its runs [updates].

    Source: McCandlish et al. 2018, arXiv:1812.06162, Section 2.3.
    """
    generator = np.random.default_rng(SEED)
    sizes = np.asarray(batch_sizes, float)
    resamples, medians = [], []
    for of_size in steps:
        # without a rate one censored trial stands for the batch size
        trials = np.asarray(of_size if len(of_size) else [np.inf], float)
        drawn = _resampled(trials, generator)
        # Of an even number the upper middle one: the mean of a number and of a censored one is no
        # number.
        middle = np.sort(drawn, axis=1)[:, len(trials) // 2]
        resamples.append(drawn)
        medians.append(middle)
    medians = np.stack(medians, axis=1)
    # of each trial, whatever its batch size
    counts = [drawn.shape[1] for drawn in resamples]
    size_of, limit_of = np.repeat(sizes, counts), np.repeat(limits, counts)
    all_trials = np.concatenate(resamples, axis=1)
    fits = [_fit(size_of, trials, limit_of) for trials in all_trials]
    critical, fewest_steps, fewest_examples = np.array(fits).T
    line = fewest_steps[:, None] + fewest_examples[:, None] / sizes
    return Fit(
        medians,
        critical,
        fewest_steps,
        fewest_examples,
        deviation=_deviation(line, medians),
        slope=_slope(sizes[:SMALLEST], medians[:, :SMALLEST]),
        seeds=min(filter(None, map(len, steps)), default=0),
    )


def span(values: np.ndarray, seeds: int) -> tuple[float, float, float]:
    """(estimate, low, high): percentiles of the resamples, which may be inf; no interval from one
    seed."""
    estimate, resamples = float(values[0]), values[1:]
    resamples = resamples[~np.isnan(resamples)]
    if seeds < 2 or not len(resamples) or math.isnan(estimate):
        return estimate, math.nan, math.nan
    # one of the resamples itself: between a number and inf there is nothing to interpolate
    low, high = np.quantile(resamples, (0.025, 0.975), method='inverted_cdf')
    return estimate, float(low), float(high)


def _resampled(steps, generator):
    """[1 + RESAMPLES, seeds]: the seeds, and as many drawn from them with replacement."""
    drawn = generator.integers(len(steps), size=(RESAMPLES, len(steps)))
    return np.concatenate([steps[None], steps[drawn]])


def _fit(sizes, steps, limits):
    reached = np.isfinite(steps)
    if len(set(sizes[reached])) < 3:  # two batch sizes lie on any hyperbola
        return np.nan, np.nan, np.nan
    fit = critical_batch_size(sizes, np.where(reached, steps, limits), reached)
    return fit.critical, fit.s_min, fit.e_min


def _deviation(line, medians):
    """Root mean square over the batch sizes where there is a number; NaN where there is none."""
    relative = line / medians - 1
    squares = np.where(np.isfinite(medians), relative, np.nan) ** 2
    count = np.isfinite(squares).sum(axis=1)
    mean = np.nansum(squares, axis=1) / np.maximum(count, 1)
    return np.sqrt(np.where(count > 0, mean, np.nan))


def _slope(sizes, medians):
    """Of the straight line through log medians against log sizes; NaN where one is censored."""
    x = np.log(sizes)
    x = x - x.mean()
    # a censored median is inf, and inf - inf is no number
    with np.errstate(invalid='ignore'):
        slope = np.log(medians) @ x / np.sum(x**2)
    return np.where(np.isfinite(slope), slope, np.nan)
