"""Learning rates as functions of the number of updates done.

Every schedule (but `rising`, which takes no warm-up) is `(peak, steps, warmup=0.0, warmup_from=0.0,
...) -> f(count)` with f(count) the rate of the update that comes after `count` updates. Shapes are
given as fractions of `peak` and of `steps`, so a schedule keeps its form when either is swept. All
numbers may be traced (no Python branch looks at them), so a sweep over any of them vmaps.

Gradual warm-up (Goyal et al. 2017, arXiv:1706.02677, section 2.2), the same in every schedule: over
the first warmup * steps updates

    rate = peak * (warmup_from + (1 - warmup_from) * count / (warmup * steps)),

and the schedule's own shape occupies what is left, p = (count - warmup * steps) / ((1 - warmup) *
steps) in [0, 1]; it keeps its last value afterwards. Goyal et al. start at the rate of the
reference batch: warmup_from = 1 / scaling factor. With warmup_from = 0 the first update has rate 0,
as in optax and MLPerf.

A schedule of your own takes `peak` and `steps` and returns a function of the updates done that
gives one number:

    def halving(peak, steps, parts=4):
        return lambda count: peak * 0.5 ** (count * parts // steps)

Arguments common to all:
    peak: highest learning rate, >= 0; steps: length of the run [updates], > 0.
    warmup: length of the warm-up [fraction of steps], in [0, 1].
    warmup_from: rate at count = 0 [fraction of peak], in [0, 1]; without warm-up it has no effect.

Numbers that can be seen, those not traced, are checked: epochs, updates or percent where fractions
are meant, an end below 0, what is not finite. ValueError: one is out of range.
"""

from typing import Literal

import jax.numpy as jnp
import optax

from lbexp.precision import upcast_dtype
from lbexp.ranges import (
    AscendingFractions,
    ClosedFraction,
    FiniteNonNegative,
    FinitePositive,
    PositiveFraction,
    checked,
    concrete,
)

# What a schedule is: the rate after so many updates. A part of this kind is known by this return
# annotation.
Schedule = optax.Schedule


@checked
def constant(
    peak: FiniteNonNegative,
    steps: FinitePositive,
    warmup: ClosedFraction = 0.0,
    warmup_from: ClosedFraction = 0.0,
) -> Schedule:
    """rate = peak. `steps` is the unit of `warmup` only."""
    return _schedule(lambda p, count: 1.0, peak, steps, warmup, warmup_from)


@checked
def cosine(
    peak: FiniteNonNegative,
    steps: FinitePositive,
    warmup: ClosedFraction = 0.0,
    warmup_from: ClosedFraction = 0.0,
    end: ClosedFraction = 0.0,
) -> Schedule:
    """rate = peak * (end + (1 - end) (1 + cos(pi p)) / 2).

    Args:
        end: last rate [fraction of peak], in [0, 1].

    Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, one period.
    """

    def shape(p, count):
        return end + (1 - end) * _half_cosine(p)

    return _schedule(shape, peak, steps, warmup, warmup_from)


@checked
def polynomial(
    peak: FiniteNonNegative,
    steps: FinitePositive,
    warmup: ClosedFraction = 0.0,
    warmup_from: ClosedFraction = 0.0,
    power: FinitePositive = 2.0,
    end: ClosedFraction = 0.0,
) -> Schedule:
    """rate = peak * (end + (1 - end) (1 - p)^power); power 1 is linear decay, 2 that of the LARS
    and NovoGrad papers.

    Args:
        power: > 0.
        end: last rate [fraction of peak], in [0, 1].

    You et al. 2017, arXiv:1708.03888, section 5.
    """

    def shape(p, count):
        return end + (1 - end) * (1 - p) ** power

    return _schedule(shape, peak, steps, warmup, warmup_from)


@checked
def rising(
    peak: FiniteNonNegative,
    steps: FinitePositive,
    start: PositiveFraction = 1e-5,
    scale: Literal['log', 'linear'] = 'log',
) -> Schedule:
    """rate rises from start * peak to peak: 'log': peak * start^(1 - p), equal factors an update;
    'linear': peak * (start + (1 - start) p).

    Of a learning-rate range test, which no run for its own sake needs (study learning_rate_range):
    without warm-up.

    Args:
        start: first rate [fraction of peak], in (0, 1].

    Smith 2017, arXiv:1506.01186, section 3.3 (linear).
    """
    shapes = {
        'log': lambda p, count: start ** (1 - p),
        'linear': lambda p, count: start + (1 - start) * p,
    }
    return _schedule(shapes[scale], peak, steps, warmup=0.0, warmup_from=0.0)


@checked
def step(
    peak: FiniteNonNegative,
    steps: FinitePositive,
    warmup: ClosedFraction = 0.0,
    warmup_from: ClosedFraction = 0.0,
    boundaries: AscendingFractions = (1 / 3, 2 / 3, 8 / 9),
    factor: PositiveFraction = 0.1,
) -> Schedule:
    """rate = peak * factor^(boundaries passed); piecewise constant.

    Args:
        boundaries: updates at which the rate drops [fractions of steps, the warm-up included], in
            (0, 1), ascending, rounded to an update; the default is epochs 30, 60 and 80 of 90.
        factor: what each boundary multiplies the rate by, in (0, 1].

    Goyal et al. 2017, arXiv:1706.02677, section 5.1.
    """

    def shape(p, count):
        passed = []
        for boundary in boundaries:
            update = jnp.round(jnp.asarray(boundary * steps, jnp.float32))
            passed.append(count >= update)
        drops = sum(passed, jnp.zeros_like(p))
        return factor**drops

    return _schedule(shape, peak, steps, warmup, warmup_from)


@checked
def one_cycle(
    peak: FiniteNonNegative,
    steps: FinitePositive,
    warmup: ClosedFraction = 0.3,
    warmup_from: ClosedFraction = 0.04,
    end: ClosedFraction = 4e-6,
    anneal: Literal['cosine', 'linear'] = 'cosine',
) -> Schedule:
    """rate rises from warmup_from * peak to peak over warmup * steps, then falls to end * peak.

    'linear': both ways straight, as in the paper (which ends with a short further fall: chain it by
    `end`).
    'cosine': both ways half a cosine, as in PyTorch's, fastai's and optax's.

    Args:
        end: last rate [fraction of peak], in [0, 1].

    Smith and Topin 2017, arXiv:1708.07120; Smith 2018, arXiv:1803.09820.
    """
    falling = {'cosine': _half_cosine, 'linear': lambda p: 1 - p}[anneal]

    def shape(p, count):
        return end + (1 - end) * falling(p)

    return _schedule(shape, peak, steps, warmup, warmup_from, rising=lambda x: 1 - falling(x))


@checked
def trapezoid(
    peak: FiniteNonNegative,
    steps: FinitePositive,
    warmup: ClosedFraction = 0.0,
    warmup_from: ClosedFraction = 0.0,
    cooldown: PositiveFraction = 0.2,
    end: ClosedFraction = 0.0,
) -> Schedule:
    """rate = peak until (1 - cooldown) * steps, then straight down to end * peak at `steps`.

    Args:
        cooldown: length of the descent [fraction of steps], in (0, 1 - warmup].
        end: last rate [fraction of peak], in [0, 1].

    Xing et al. 2018, arXiv:1802.08770 ("trapezoid"); Hu et al. 2024, arXiv:2404.06395 ("warmup,
    stable, decay").
    """

    total = concrete(warmup + cooldown)
    if total is not None and total > 1 + 1e-6:  # the two may be rounded
        raise ValueError(
            f'warmup + cooldown: found {warmup} + {cooldown}; allowed: fractions '
            'that sum to at most 1'
        )

    def shape(p, count):
        remaining = steps - count
        # A traced cooldown may be 0.
        duration = jnp.maximum(cooldown * steps, 1e-30)
        left = jnp.clip(remaining / duration, 0, 1)
        return end + (1 - end) * left

    return _schedule(shape, peak, steps, warmup, warmup_from)


def _schedule(shape, peak, steps, warmup, warmup_from, rising=lambda x: x):
    """Warm-up, then `shape(p, count)`, a fraction of peak; p: progress through what is left of the
    run."""

    def schedule(count):
        # At least float32: a rate or a count must not be rounded to a 16-bit type.
        dtype = upcast_dtype(jnp.asarray(peak))
        count = jnp.asarray(count).astype(dtype)
        ramp = warmup * steps
        # Without warm-up the ramp is 0: both branches of the `where` below are computed, and
        # must be finite.
        x = jnp.clip(count / jnp.maximum(ramp, 1e-30), 0, 1)
        p = jnp.clip((count - ramp) / jnp.maximum(steps - ramp, 1e-30), 0, 1)
        warming = warmup_from + (1 - warmup_from) * rising(x)
        fraction = jnp.where(count < ramp, warming, shape(p, count))
        return (peak * fraction).astype(dtype)

    return schedule


def _half_cosine(p):
    return 0.5 * (1 + jnp.cos(jnp.pi * p))
