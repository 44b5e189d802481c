"""Learning rates as functions of the number of updates done.

Every schedule is `(peak, steps, warmup=0.0, warmup_from=0.0, ...) -> f(count)` with f(count) the rate of the update
that comes after `count` updates. Shapes are given as fractions of `peak` and of `steps`, so a schedule keeps its form
when either is swept. All numbers may be traced (no Python branch looks at them), so a sweep over any of them vmaps.

Gradual warm-up (Goyal et al. 2017, arXiv:1706.02677, section 2.2), the same in every schedule: over the first
warmup * steps updates

    rate = peak * (warmup_from + (1 - warmup_from) * count / (warmup * steps)),

and the schedule's own shape occupies what is left, p = (count - warmup * steps) / ((1 - warmup) * steps) in [0, 1]; it
keeps its last value afterwards. Goyal et al. start at the rate of the reference batch: warmup_from = 1 / scaling
factor. With warmup_from = 0 the first update has rate 0, as in optax and MLPerf.

Arguments common to all:
    peak: highest learning rate; steps: length of the run [updates], > 0.
    warmup: length of the warm-up [fraction of steps], in [0, 1].
    warmup_from: rate at count = 0 [fraction of peak]; without warm-up it has no effect.
"""

from typing import Any

import jax.numpy as jnp
import optax

Number = Any  # a Python number or a scalar array, traced or not


def constant(peak: Number, steps: Number, warmup: Number = 0.0, warmup_from: Number = 0.0) -> optax.Schedule:
    """rate = peak. `steps` is the unit of `warmup` only."""
    return _schedule(lambda p, count: 1.0, peak, steps, warmup, warmup_from)


def cosine(
    peak: Number, steps: Number, warmup: Number = 0.0, warmup_from: Number = 0.0, end: Number = 0.0
) -> optax.Schedule:
    """rate = peak * (end + (1 - end) (1 + cos(pi p)) / 2).

    Args:
        end: last rate [fraction of peak].

    Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, one period.
    """
    return _schedule(lambda p, count: end + (1 - end) * _half_cosine(p), peak, steps, warmup, warmup_from)


def polynomial(
    peak: Number,
    steps: Number,
    warmup: Number = 0.0,
    warmup_from: Number = 0.0,
    power: Number = 2.0,
    end: Number = 0.0,
) -> optax.Schedule:
    """rate = peak * (end + (1 - end) (1 - p)^power); power 1 is linear decay, 2 that of the LARS and NovoGrad papers.

    Args:
        power: > 0.
        end: last rate [fraction of peak].

    You et al. 2017, arXiv:1708.03888, section 5.
    """
    return _schedule(lambda p, count: end + (1 - end) * (1 - p) ** power, peak, steps, warmup, warmup_from)


def step(
    peak: Number,
    steps: Number,
    warmup: Number = 0.0,
    warmup_from: Number = 0.0,
    boundaries: tuple = (1 / 3, 2 / 3, 8 / 9),
    factor: Number = 0.1,
) -> optax.Schedule:
    """rate = peak * factor^(boundaries passed); piecewise constant.

    Args:
        boundaries: updates at which the rate drops [fractions of steps, the warm-up included], rounded to an
            update; the default is epochs 30, 60 and 80 of 90.
        factor: what each boundary multiplies the rate by.

    Goyal et al. 2017, arXiv:1706.02677, section 5.1.
    """

    def shape(p, count):
        passed = [count >= jnp.round(jnp.asarray(b * steps, jnp.float32)) for b in boundaries]
        return factor ** sum(passed, jnp.zeros_like(p))

    return _schedule(shape, peak, steps, warmup, warmup_from)


def one_cycle(
    peak: Number,
    steps: Number,
    warmup: Number = 0.3,
    warmup_from: Number = 0.04,
    end: Number = 4e-6,
    anneal: str = 'cosine',
) -> optax.Schedule:
    """rate rises from warmup_from * peak to peak over warmup * steps, then falls to end * peak.

    'linear': both ways straight, as in the paper (which ends with a short further fall: chain it by `end`).
    'cosine': both ways half a cosine, as in PyTorch's, fastai's and optax's.

    Args:
        end: last rate [fraction of peak].

    Smith and Topin 2017, arXiv:1708.07120; Smith 2018, arXiv:1803.09820.
    """
    if anneal not in ('cosine', 'linear'):
        raise ValueError(f"anneal is {anneal!r}; allowed: 'cosine', 'linear'")
    falling = {'cosine': _half_cosine, 'linear': lambda p: 1 - p}[anneal]
    shape = lambda p, count: end + (1 - end) * falling(p)
    return _schedule(shape, peak, steps, warmup, warmup_from, rising=lambda x: 1 - falling(x))


def trapezoid(
    peak: Number,
    steps: Number,
    warmup: Number = 0.0,
    warmup_from: Number = 0.0,
    cooldown: Number = 0.2,
    end: Number = 0.0,
) -> optax.Schedule:
    """rate = peak until (1 - cooldown) * steps, then straight down to end * peak at `steps`.

    Args:
        cooldown: length of the descent [fraction of steps], in (0, 1 - warmup].
        end: last rate [fraction of peak].

    Xing et al. 2018, arXiv:1802.08770 ("trapezoid"); Hu et al. 2024, arXiv:2404.06395 ("warmup, stable, decay").
    """

    def shape(p, count):
        left = jnp.clip((steps - count) / jnp.maximum(cooldown * steps, 1e-30), 0, 1)
        return end + (1 - end) * left

    return _schedule(shape, peak, steps, warmup, warmup_from)


def _schedule(shape, peak, steps, warmup, warmup_from, rising=lambda x: x):
    """Warm-up, then `shape(p, count)`, a fraction of peak; p: progress through what is left of the run."""
    if isinstance(warmup, (int, float)) and not 0 <= warmup <= 1:  # a traced one cannot be looked at
        raise ValueError(f'warmup: found {warmup}; allowed: a fraction of the run, in [0, 1]')

    def schedule(count):
        # At least float32: a rate or a count must not be rounded to a 16-bit type.
        dtype = jnp.promote_types(jnp.asarray(peak).dtype, jnp.float32)
        count = jnp.asarray(count).astype(dtype)
        ramp = warmup * steps
        x = jnp.clip(count / jnp.maximum(ramp, 1e-30), 0, 1)
        p = jnp.clip((count - ramp) / jnp.maximum(steps - ramp, 1e-30), 0, 1)
        warming = warmup_from + (1 - warmup_from) * rising(x)
        return (peak * jnp.where(count < ramp, warming, shape(p, count))).astype(dtype)

    return schedule


def _half_cosine(p):
    return 0.5 * (1 + jnp.cos(jnp.pi * p))
