"""What a study can see: from the variances of a pilot the effect that a budget detects, and the
budget that an effect needs.

The power is that of the rule by which claims are judged (`analysis.claim_interval`: both ends of
the exact interval of a median on one side) and, where values of each example are known, of the
interval over test examples too (`crossed.two_way_interval`). Differences are taken as normal.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp import inference

POWER = 0.8
_MOST = 2000  # draws that are tried


class Spread(NamedTuple):
    """Variances of a paired difference of two arms."""

    # of what a tuning finds, beyond its seeds; NaN: there was one tuning, which does not tell
    tuning: float
    seed: float  # of a seed (initial weights, order of the data) within a tuning
    example: float  # of a test example; NaN: values of each were not kept


class Budget(NamedTuple):
    """What a study spends on each arm."""

    tunings: int
    seeds: int  # of each tuning
    examples: int  # of the test set


def spread_of(differences: Sequence[np.ndarray], example: float = math.nan) -> Spread:
    """Variances of tunings and of seeds within them, by the mean squares of a nested design:

        seed = MS_within,     tuning = max(0, (MS_between - MS_within) / S)

    Args:
        differences: of each tuning the paired differences of its S seeds (the fewest count), NaN
            where a trial diverged.
        example: variance of an example (`crossed.components`).
    Returns:
        NaN where there is one seed in each tuning, or one tuning.
    """
    sound = [np.asarray(seeds, float) for seeds in differences]
    sound = [seeds[np.isfinite(seeds)] for seeds in sound]
    sound = [seeds for seeds in sound if len(seeds)]
    freedom = sum(len(seeds) - 1 for seeds in sound)
    seed = math.nan
    if freedom:
        seed = sum(float(np.sum((seeds - seeds.mean()) ** 2)) for seeds in sound) / freedom
    tuning = math.nan
    if len(sound) > 1:
        means = np.array([seeds.mean() for seeds in sound])
        # of one seed in each tuning both are in the spread of the means
        within = 0.0 if math.isnan(seed) else seed / min(map(len, sound))
        tuning = max(float(means.var(ddof=1)) - within, 0.0)
        seed = 0.0 if math.isnan(seed) else seed
    return Spread(tuning, seed, example)


def power(effect: float, deviation: float, draws: int) -> float:
    """Probability that a claim 'the effect is above 0' is decided for it: that all but k - 1 of
    normal draws lie above 0, k the order statistic at which the interval of their median begins:

        P(Binomial(draws, Phi(-effect / deviation)) <= k - 1);     0 below 6 draws

    Args:
        effect: the true one, in the unit of `deviation`.
        deviation: standard deviation of a draw, >= 0.
    """
    k = inference.order_statistic(draws)
    if k == 0:
        return 0.0
    if deviation == 0:
        return float(effect > 0)
    from scipy import special

    return float(special.bdtr(k - 1, draws, special.ndtr(-effect / deviation)))


def detectable(deviation: float, draws: int, least_power: float = POWER) -> float:
    """The effect that a claim on `draws` draws of this standard deviation decides with probability
    `least_power`; NaN below 6 draws, or where the deviation is not known."""
    k = inference.order_statistic(draws)
    if k == 0 or math.isnan(deviation):
        return math.nan
    from scipy import special

    # the probability of a draw below 0 at which k - 1 of them or fewer are that likely
    below = float(special.bdtri(k - 1, draws, least_power))
    return -float(special.ndtri(below)) * deviation


def detectable_effect(spread: Spread, budget: Budget, least_power: float = POWER) -> float:
    """The smallest effect that a study of the budget decides with probability `least_power`, at 5 %
    two-sided.

    Draws are tunings, each the mean of its seeds, of variance tuning + seed / S; of one tuning they
    are the seeds. Where the variance of an example is known, the interval over both has to exclude
    0 as well: an effect of as many standard errors, sqrt(draw / draws + example / examples), as
    Student's test needs with Satterthwaite's degrees of freedom. The larger of the two effects
    counts.

    Returns:
        NaN: below 6 draws.
    """
    draws, variance = _draws(spread, budget)
    alone = detectable(math.sqrt(variance), draws, least_power)
    if math.isnan(spread.example) or math.isnan(alone) or budget.examples < 2:
        return alone
    of_draws, of_examples = variance / draws, spread.example / budget.examples
    total = of_draws + of_examples
    if total == 0:
        return alone
    freedom = total**2 / (of_draws**2 / (draws - 1) + of_examples**2 / (budget.examples - 1))
    from scipy import special

    quantile = inference.student(freedom, 0.95)
    errors = float(special.nctdtrinc(freedom, 1 - least_power, quantile))
    return max(alone, errors * math.sqrt(total))


def tunings_needed(spread: Spread, budget: Budget, margin: float) -> int | None:
    """The fewest tunings, else as the budget, whose study detects an effect of `margin`; None: more
    than 2,000, or the test set is too small for any number."""
    return _fewest(spread, margin, lambda count: budget._replace(tunings=count))


def seeds_needed(spread: Spread, budget: Budget, margin: float) -> int | None:
    """The fewest seeds of one tuning that detect an effect of `margin`, as if another tuning would
    find the same; None: more than 2,000, or the test set is too small."""
    return _fewest(spread, margin, lambda count: budget._replace(tunings=1, seeds=count))


def examples_needed(spread: Spread, margin: float, least_power: float = POWER) -> int | None:
    """Test examples below which no number of seeds detects an effect of `margin`:

        example (z(0.975) + z(power))^2 / margin^2

    None: the variance of an example is not known.
    """
    if math.isnan(spread.example):
        return None
    from scipy import special

    quantiles = float(special.ndtri(0.975) + special.ndtri(least_power))
    return max(2, math.ceil(spread.example * (quantiles / margin) ** 2))


def _draws(spread, budget):
    """(number of draws, variance of one)."""
    if budget.tunings == 1:
        return budget.seeds, spread.seed
    return budget.tunings, spread.tuning + spread.seed / budget.seeds


def _fewest(spread, margin, budget_of):
    examples = examples_needed(spread, margin)
    if examples is not None and examples > budget_of(1).examples:
        return None
    for count in range(inference.LEAST_PAIRS, _MOST + 1):
        if detectable_effect(spread, budget_of(count)) <= margin:
            return count
    return None
