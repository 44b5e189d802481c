"""Steps to a target loss against batch size on a large noisy quadratic, by the exact recursion
alone."""

from typing import Any

import jax
import jax.numpy as jnp

from lbexp.shapes import Scalar, Spectrum
from lbexp.theory.limits import learning_rate_limit, require
from lbexp.theory.linear_maps import outer
from lbexp.theory.noisy_quadratic import cycle_change
from lbexp.theory.process import external, internal_covariance, process

_DOUBLINGS = 26  # cycles up to 2^26 are searched


def steps_to_target(
    batch_size: Any,
    learning_rate: Any,
    power: Any = 0.0,
    target: Any = 0.01,
    spectrum: Spectrum | None = None,
    start: float | Scalar | Spectrum = 1.0,
    **settings: Any,
) -> Scalar:
    """Updates until the expected loss of the evaluation weights is at most `target`; inf: never.

    Loss 1/2 sum_i a_i x_i^2 (the noise-free excess), a_i = 1 / i, gradient noise of covariance
    diag(a) / B, start E x_i^2 = 1. An update preconditioned by A^power sees curvature a^(1 - p) and
    noise a^(1 - 2p) / B: as if the target c had variance 1 / (a B), for every p. The second moments
    E z z^T of each coordinate obey S <- M S M^T + v w w^T exactly; maps of 1, 2, 4, ... cycles come
    by squaring, and the time of crossing by descending through them: 2^j cycles are taken whenever
    the loss is still above the target after them. It is the first crossing if the loss, once below,
    stays below for good, as it does for SGD; momentum may dip earlier and come back.

    Args:
        batch_size: B > 0 [examples per update].
        learning_rate: of the preconditioned update, on the scale of a^(1 - p).
        power: p in [0, 1]; 0: none, 0.5: Adam-like, 1: Newton.
        target: loss > 0.
        spectrum: curvatures [d]; None: 1 / i, d = 1e4.
        start: E x_i^2 at the start, scalar or [d].
        settings: momentum, nesterov, k, slow_step_size, buffer_policy, ema_decay of `process`.

    Scalars may be traced; vmap or lax.map over them. In float64: small modes matter over 1e6
    updates.

    Source: Zhang, Li, Nado et al. 2019, arXiv:1907.04164, Sections 3 and 4.
    """
    require('batch_size', batch_size, jnp.asarray(batch_size) > 0, 'a number of examples > 0')
    require('target', target, jnp.asarray(target) > 0, 'a loss > 0')
    a = _spectrum(spectrum)
    start = jnp.broadcast_to(jnp.asarray(start, a.dtype), a.shape)

    def coordinate(curvature, second, noise):
        p = process(learning_rate, curvature, **settings)
        return *_cycle_and_moments(p, second, noise), (p.k, p.averaging)

    curvature = a ** (1 - jnp.asarray(power))
    noise = 1 / (a * batch_size)
    # Coordinates last: the small matrices' products then run over long rows.
    by_coordinate = jax.vmap(coordinate, out_axes=-1)
    maps, moments, seen, (k, averaging) = by_coordinate(curvature, start, noise)
    # the same for every coordinate
    k = k[0].astype(a.dtype)
    averaging = averaging[0].astype(a.dtype)

    def loss(moments, cycles):
        weight = -jnp.expm1(cycles * k * jnp.log1p(-averaging))  # the bias correction of an EMA
        squares = jnp.sum(seen * moments, axis=(0, 1))
        return jnp.sum(squares * a) / (2 * weight**2)

    cycles, is_reached = _cycles_above(target, loss, maps, moments, a.dtype)
    starts_below = jnp.sum(a * start) / 2 <= target
    steps = jnp.where(starts_below, 0.0, (cycles + 1) * k)
    return jnp.where(is_reached, steps, jnp.inf)


def _cycle_and_moments(p, second, noise):
    """Of one coordinate: (change, kick) of a cycle, second moments at the start, and the matrix by
    which later ones give the evaluation weights'."""
    change, spread = cycle_change(p)
    moments = outer(p.initial_mask) * second
    identity = jnp.eye(change.shape[0], dtype=change.dtype)
    # evaluation weights = seen @ w
    seen = jnp.sum(external(p, identity) * p.evaluation[:, None], axis=0)
    kick = noise * p.step * (p.step * spread)
    return (change, kick), internal_covariance(p, moments), outer(seen)


def _cycles_above(target, loss, maps, moments, dtype):
    """(whole cycles with a loss above the target, whether they end): the binary digits of their
    number, from the highest down."""

    def double(maps, _):
        change, kick = maps
        return (_squared(change), _moved(maps, kick)), maps

    def descend(carry, rung):
        moments, cycles = carry
        maps, count = rung
        further = _moved(maps, moments)
        # Not "loss > target": what is NaN, beyond stability, has not arrived.
        above = ~(loss(further, cycles + count) <= target)
        moments = jnp.where(above, further, moments)
        cycles = cycles + jnp.where(above, count, 0.0)
        return (moments, cycles), None

    _, ladder = jax.lax.scan(double, maps, None, length=_DOUBLINGS)
    counts = 2.0 ** jnp.arange(_DOUBLINGS, dtype=dtype)
    start = (moments, jnp.zeros((), dtype))
    (_, cycles), _ = jax.lax.scan(descend, start, (ladder, counts), reverse=True)
    # In float32 the sum of all counts rounds to 2^26.
    return cycles, cycles < counts[-1] * 2 - 1


def tuned_steps(
    batch_size: Any,
    momentum: Any = 0.0,
    nesterov: bool = False,
    spectrum: Spectrum | None = None,
    **settings: Any,
) -> tuple[Scalar, Scalar]:
    """(steps, learning rate): steps_to_target with the learning rate that needs fewest, all else
    fixed.

    Steps fall like 1 / rate until noise or instability ends it: one minimum in log rate. A grid of
    20 over six decades below the stability limit brackets it; three rounds of 7 narrow it to 3 %,
    where steps are flat. Arguments as in steps_to_target, without the learning rate.
    """
    power = jnp.asarray(settings.get('power', 0.0))
    steepest = jnp.max(_spectrum(spectrum) ** (1 - power))
    limit = learning_rate_limit(steepest, momentum, nesterov)
    optimizer = {'momentum': momentum, 'nesterov': nesterov}

    def steps(rate):
        return steps_to_target(batch_size, rate, spectrum=spectrum, **optimizer, **settings)

    rates = limit * jnp.geomspace(1e-6, 0.999, 20)
    step_counts = jax.lax.map(steps, rates)
    for _ in range(3):
        # Among equals the smallest rate is the safe one.
        best = jnp.argmin(step_counts)
        low = rates[jnp.maximum(best - 1, 0)]
        high = rates[jnp.minimum(best + 1, rates.shape[0] - 1)]
        rates = jnp.exp(jnp.linspace(jnp.log(low), jnp.log(high), 7))
        step_counts = jax.lax.map(steps, rates)
    best = jnp.argmin(step_counts)
    return step_counts[best], rates[best]


def _spectrum(spectrum):
    if spectrum is None:
        return 1 / jnp.arange(1, 10_001, dtype=jnp.result_type(float))
    spectrum = jnp.asarray(spectrum)
    require('spectrum', spectrum, spectrum > 0, 'curvatures > 0')
    return spectrum


def _squared(change):
    """The change of (I + A)^2."""
    return 2 * change + _product(change, change)


def _moved(maps, moments):
    """(I + A) S (I + A)^T + Q, as S plus changes."""
    change, spread = maps
    left = _product(change, moments)
    back = jnp.swapaxes(change, 0, 1)
    return moments + (left + _product(moments + left, back) + spread)


def _product(a, b):
    """Matrix product over the first two axes; the third is that of the coordinates."""
    return sum(a[:, j, None] * b[None, j] for j in range(a.shape[1]))
