"""What follows the batch size: learning rate, Adam's betas, the length of a run; and a batch that
grows."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal, NamedTuple

import annotated_types
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lbexp.ranges import (
    Elements,
    FiniteNonNegative,
    FinitePositive,
    Fraction,
    Number,
    checked,
    concrete,
)
from lbexp.shapes import Count, Scalar, UnsignedCount

Examples = Annotated[Number, annotated_types.Interval(ge=0, lt=2**32)]  # counts are uint32


@checked
def batch_scaling(
    rule: Literal['linear', 'square_root', 'square_root_adam'] | None,
    batch_size: FinitePositive,
    reference: FinitePositive | None,
) -> Number:
    """The factor by which a learning rate tuned at batch size `reference` is multiplied at
    `batch_size`.

    None: 1.  'linear': batch_size / reference (Goyal et al. 2017, arXiv:1706.02677: keeps the mean
    of an epoch's motion).  'square_root': its root (Hoffer et al. 2017, arXiv:1705.08741, section
    4: keeps the covariance of an update).  'square_root_adam': the root too; `adam_scaling` says
    what becomes of betas and eps.

    Args:
        batch_size, reference: [examples per global batch], > 0.

    Raises:
        ValueError: unknown rule, a rule without a reference, a size that is not > 0.
    """
    if rule is None:
        return 1.0
    if reference is None:
        raise ValueError(
            'reference: found None; allowed: the batch size of factor 1, > 0, '
            f'where the rule is {rule!r}'
        )
    ratio = batch_size / reference
    if rule == 'linear':
        return ratio
    return jnp.sqrt(ratio)


@checked
def adam_scaling(
    batch_size: FinitePositive,
    reference: FinitePositive,
    b1: Fraction,
    b2: Fraction,
    eps: FiniteNonNegative,
) -> tuple[Number, Number, Number]:
    """(b1, b2, eps) of Adam at `batch_size` that were tuned at `reference`, beside a rate that
    grows by the root.

        kappa = batch_size / reference:  1 - b1 <- kappa (1 - b1),  1 - b2 <- kappa (1 - b2),  eps
        <- eps / sqrt(kappa)

    It keeps the stochastic differential equation of Adam where gradients are mostly noise; time
    constants of both averages then stay the same in examples. Beyond kappa = 1 / (1 - b) an average
    would be shorter than an update: b stays 0 there, and the rule no longer holds.

    Malladi, Lyu, Panigrahi, Arora 2022, arXiv:2205.10287, the square-root scaling rule for Adam.
    """
    kappa = batch_size / reference

    def shorter(b):
        return jnp.maximum(1 - kappa * (1 - b), 0.0)

    return shorter(b1), shorter(b2), eps / jnp.sqrt(kappa)


@checked
def regime_adaptation(
    length: FinitePositive, batch_size: FinitePositive, reference: FinitePositive
) -> Number:
    """The length of a run at `batch_size` that does as many updates as one of `length` epochs at
    `reference`.

        length * batch_size / reference

    The same formula serves epochs and updates: `length` is what the run at `batch_size` would have
    without adaptation (an epoch count tuned at `reference`, or that many epochs counted in updates
    of `batch_size`). Schedules given as fractions of the run then drop the rate at the same update
    as at the reference batch size.

    Args:
        length: [epochs, or updates at batch_size], > 0.
        batch_size, reference: [examples per global batch], > 0.

    Hoffer, Hubara, Soudry 2017, arXiv:1705.08741, section 5 ("regime adaptation").
    """
    return length * (batch_size / reference)


class BatchGrowth(NamedTuple):
    """What a growing batch means for accumulation, data order and rate: functions of the update
    count."""

    # count -> microbatches in the global batch of the next update
    accumulation: Callable[[ArrayLike], Count]
    # count -> examples consumed by the first `count` updates
    position: Callable[[ArrayLike], UnsignedCount]
    # examples -> the fewest updates that consume as many
    updates: Callable[[ArrayLike], UnsignedCount]
    # count -> what the learning rate is multiplied by (1 until `largest`)
    rate_factor: Callable[[ArrayLike], Scalar]


@checked
def batch_growth(
    batch_size: FinitePositive,
    boundaries: Annotated[Sequence[Examples], Elements(Examples)],
    factor: FinitePositive = 5.0,
    microbatch: Annotated[Number, annotated_types.Interval(ge=1, lt=2**32)] = 1,
    largest: FinitePositive | None = None,
) -> BatchGrowth:
    """The batch grows by `factor` where the learning rate would have decayed by 1 / factor.

        noise scale ~ rate * N / B:  B_i = min(batch_size * factor^i, largest) in whole
        microbatches, rate factor_i = min(1, largest / (batch_size * factor^i))

    Update `count` belongs to phase i when the examples consumed before it reach boundaries[i - 1];
    a phase's last batch is not cut, so phase i has n_i = ceil((boundaries[i] - start_i) / B_i)
    updates and start_{i+1} = start_i + n_i B_i. All functions are closed forms in these sums: a run
    resumed in mid-ramp needs only its update count.

    Args:
        batch_size: before the first boundary [examples per global batch].
        boundaries: where the batch grows [examples consumed], integers, ascending; for epochs
            multiply by the size of the data.
        factor: > 0.
        microbatch: [examples per forward/backward pass]; batches are rounded to a multiple of it,
            at least one.
        largest: [examples per global batch]; from there on the learning rate decays instead. None:
            no limit.

    `accumulate(tx, growth.accumulation)` trains with it; multiply the schedule by
    growth.rate_factor.

    Raises:
        ValueError: a number out of its range, boundaries that are no integers, such as
            fractions of the run.

    Smith, Kindermans, Ying, Le 2018, arXiv:1711.00489, sections 2 and 5.
    """
    if any(number is not None and number % 1 for number in map(concrete, boundaries)):
        raise ValueError(f'boundaries: found {boundaries!r}; allowed: integers (examples)')

    # Without the limit: what is beyond it goes into the rate.
    grown = [batch_size * factor ** float(i) for i in range(len(boundaries) + 1)]
    phases = _phases(grown, boundaries, microbatch, largest)

    def accumulation(count):
        return phases.select(_uint32(count), phases.sizes).astype(jnp.int32)

    def position(count):
        count = _uint32(count)
        in_phase = count - phases.select(count, phases.firsts)
        start = phases.select(count, phases.starts)
        return (start + in_phase * phases.select(count, phases.sizes)) * _uint32(microbatch)

    def updates(examples):
        return phases.updates(_ceil_divide(_uint32(examples), _uint32(microbatch)))

    def rate_factor(count):
        if largest is None:
            return jnp.ones((), jnp.float32)
        factors = [jnp.minimum(largest / jnp.asarray(b, jnp.float32), 1.0) for b in grown]
        return phases.select(_uint32(count), factors)

    return BatchGrowth(accumulation, position, updates, rate_factor)


class _Phases(NamedTuple):
    """The phases of a growing batch, uint32 of each."""

    sizes: list  # B_i, in microbatches
    starts: list  # start_i, in microbatches
    firsts: list  # updates before it, the sum of n_0 .. n_{i-1}

    def select(self, count, values):
        """The value of the phase that update `count` belongs to."""
        value = values[0]
        for first, later in zip(self.firsts[1:], values[1:]):
            value = jnp.where(count >= first, later, value)
        return value

    def updates(self, microbatches):
        """The fewest updates that consume as many microbatches."""
        count = _ceil_divide(microbatches, self.sizes[0])
        for start, first, size in zip(self.starts[1:], self.firsts[1:], self.sizes[1:]):
            is_later = microbatches > start
            # The maximum: below the phase's start the difference would wrap around.
            later = first + _ceil_divide(jnp.maximum(microbatches, start) - start, size)
            count = jnp.where(is_later, later, count)
        return count


def _phases(grown, boundaries, microbatch, largest):
    sizes = []
    for size in grown:
        if largest is not None:
            size = jnp.minimum(size, largest)
        sizes.append(_uint32(jnp.maximum(jnp.round(size / microbatch), 1)))
    starts, firsts = [jnp.uint32(0)], [jnp.uint32(0)]
    for boundary, size in zip(boundaries, sizes):
        until = _ceil_divide(_uint32(boundary), _uint32(microbatch))
        # Boundaries closer than an update: the phase between them has none.
        updates = _ceil_divide(jnp.maximum(until, starts[-1]) - starts[-1], size)
        starts.append(starts[-1] + updates * size)
        firsts.append(firsts[-1] + updates)
    return _Phases(sizes, starts, firsts)


def _uint32(x):
    return jnp.asarray(x, jnp.uint32)


def _ceil_divide(a: jax.Array, b: jax.Array):
    # Not (a + b - 1) // b, whose sum may wrap around.
    return a // b + (a % b != 0).astype(jnp.uint32)
