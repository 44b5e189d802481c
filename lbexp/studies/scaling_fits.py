"""Steps to a target against batch size: the hyperbola through them, with censored runs and intervals over seeds."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp.theory.steps_to_target import critical_batch_size

RESAMPLES = 1000
SEED = 18110
SMALLEST = 3  # batch sizes from which the slope of perfect scaling is read


class Fit(NamedTuple):
    """Of each number the estimate, then the same from each resample of the seeds: [1 + RESAMPLES]."""

    medians: np.ndarray  # of the steps [1 + RESAMPLES, batch sizes]; inf: at least half of the seeds are censored
    critical: np.ndarray  # batch size; inf: no turn from perfect scaling is seen
    fewest_steps: np.ndarray
    fewest_examples: np.ndarray
    deviation: np.ndarray  # root mean square of (fit / median - 1)
    slope: np.ndarray  # d log steps / d log batch size over the SMALLEST batch sizes
    seeds: int  # fewest at a batch size


def scaling_fit(batch_sizes: Sequence[int], steps: Sequence[Sequence[float]]) -> Fit:
    """Fits S = S_min + E_min / B to medians over seeds, and to those of resampled seeds.

    A censored run counts as inf: it moves a median as a run that would have taken longer than any other, and where the
    median itself is censored, the batch size has no part in the fit of that resample. Seeds are resampled at each
    batch size on its own; the learning rates that tuning chose stay.

    Args:
        batch_sizes: [examples per update], ascending.
        steps: for each batch size the steps of each seed; inf where censored; none where tuning found no rate.

    Source: McCandlish et al. 2018, arXiv:1812.06162, Section 2.3.
    """
    generator = np.random.default_rng(SEED)
    medians = np.stack([_medians(np.asarray(own, float), generator) for own in steps], axis=1)
    # 1 / inf = 0: a censored median has no weight in the fit.
    critical, fewest_steps, fewest_examples = _fit(np.asarray(batch_sizes, float), medians)
    line = fewest_steps[:, None] + fewest_examples[:, None] / np.asarray(batch_sizes, float)
    deviation = np.sqrt(_mean(np.where(np.isfinite(medians), line / medians - 1, np.nan) ** 2))
    first = np.log(np.asarray(batch_sizes[:SMALLEST], float))
    centred = first - first.mean()
    with np.errstate(invalid='ignore'):
        slope = np.log(medians[:, : len(first)]) @ centred / max(np.sum(centred**2), 1e-30)
    enough = (np.isfinite(medians).sum(axis=1) >= 3)[:, None]  # two points lie on any hyperbola
    numbers = np.where(enough, np.stack([critical, fewest_steps, fewest_examples, deviation], axis=1), np.nan)
    slope = np.where(np.isfinite(slope) & (len(first) > 1), slope, np.nan)
    return Fit(medians, *numbers.T, slope, min(len(own) for own in steps))


def span(values: np.ndarray, seeds: int) -> tuple[float, float, float]:
    """(estimate, low, high): percentiles of the resamples, which may be inf; no interval from one seed."""
    estimate, sound = float(values[0]), values[1:][~np.isnan(values[1:])]
    if seeds < 2 or not len(sound) or math.isnan(estimate):
        return estimate, math.nan, math.nan
    low, high = np.quantile(sound, (0.025, 0.975), method='inverted_cdf')
    return estimate, float(low), float(high)


def _medians(steps, generator):
    """[1 + RESAMPLES]: of the seeds, and of as many drawn from them with replacement."""
    if not len(steps):
        return np.full(1 + RESAMPLES, np.inf)
    drawn = generator.integers(len(steps), size=(RESAMPLES, len(steps)))
    # Of an even number the upper middle one: the mean of a number and of a censored one is no number.
    middle = lambda values: np.sort(values, axis=-1)[..., values.shape[-1] // 2]
    return np.append(middle(steps), middle(steps[drawn]))


def _fit(batch_sizes, medians):
    import jax

    with jax.enable_x64(True):
        fitted = jax.vmap(lambda steps: critical_batch_size(batch_sizes, steps))(medians)
    _, fewest_steps, fewest_examples = (np.asarray(values) for values in fitted)
    with np.errstate(divide='ignore', invalid='ignore'):
        critical = np.where(fewest_steps > 0, np.maximum(fewest_examples, 0) / fewest_steps, np.inf)
    return critical, fewest_steps, fewest_examples


def _mean(squares):
    """Mean over what is a number; NaN where nothing is."""
    count = np.isfinite(squares).sum(axis=1)
    return np.where(count > 0, np.nansum(squares, axis=1) / np.maximum(count, 1), np.nan)
