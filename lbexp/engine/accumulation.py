"""How many microbatches make an update, and when: one, a constant number, or one that grows."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lbexp.batch_size import batch_growth
from lbexp.engine.state import TrialState


class AccumulationSchedule(NamedTuple):
    """Functions whose numbers may be traced. Counts are of updates; a microbatch is the unit."""

    microbatches: Callable  # count -> microbatches in the next update, int32
    position: Callable  # count -> microbatches in the first `count` updates, int32
    updates: Callable  # microbatches -> updates that consume at least as many, int32
    scale_rate: Callable  # (count -> rate) -> (count -> rate), with the factor of a growing batch
    start: Callable  # (params, loss) -> what a trial has accumulated before its first microbatch
    # (state, gradient, loss, update) -> state: takes in a microbatch's gradient and loss, and calls
    # update(state, gradient, loss) with their means where the global batch is complete
    step: Callable


def every_microbatch() -> AccumulationSchedule:
    """Every microbatch is an update: nothing is summed, and no program has a branch for it."""
    return AccumulationSchedule(
        microbatches=lambda count: jnp.ones((), jnp.int32),
        position=lambda count: jnp.asarray(count, jnp.int32),
        updates=lambda microbatches: jnp.asarray(microbatches, jnp.int32),
        scale_rate=lambda rate: rate,
        start=lambda params, loss: (),
        step=lambda state, gradient, loss, update: update(state, gradient, loss),
    )


def accumulation_schedule(
    batch_size: Any, microbatch: int | None, growth: dict
) -> AccumulationSchedule:
    """The schedule of a trial.

    Args:
        batch_size: examples per update, before the batch grows; may be traced.
        microbatch: examples per forward and backward pass; None: all of an update.
        growth: `batch_growth` of the configuration, whose boundaries are counted in examples here
            (see `boundaries`), and whose numbers may be traced; {}: the batch does not grow.
    """
    if microbatch is None:
        return every_microbatch()
    if growth:
        return _growing(batch_size, microbatch, growth)
    return _constant(jnp.asarray(batch_size // microbatch, jnp.int32))


def boundaries(fractions: Sequence[float], examples: Fraction) -> list[int]:
    """Where the batch of a run of so many examples grows [examples]: what the configuration gives
    as fractions."""
    # A float such as 0.1 means the decimal that it prints as.
    return [int(Fraction(str(fraction)) * examples) for fraction in fractions]


def _constant(count):
    """`count` microbatches in every update."""
    return _summing(
        microbatches=lambda updates: count,
        position=lambda updates: jnp.asarray(updates, jnp.int32) * count,
        updates=lambda microbatches: -(-jnp.asarray(microbatches, jnp.int32) // count),
        rate_factor=lambda updates: 1.0,
    )


def _growing(batch_size, size, growth):
    grown = batch_growth(batch_size, microbatch=size, **growth)

    def position(updates):
        return (grown.position(updates) // size).astype(jnp.int32)

    def updates(microbatches):
        return grown.updates(jnp.asarray(microbatches) * size).astype(jnp.int32)

    return _summing(grown.accumulation, position, updates, grown.rate_factor)


def _summing(microbatches, position, updates, rate_factor):
    def start(params, loss):
        return jax.tree.map(jnp.zeros_like, params), loss

    def step(state: TrialState, gradient, loss, update) -> TrialState:
        accumulated = jax.tree.map(jnp.add, state.accumulated, (gradient, loss))
        # The carry of a loop keeps its dtypes; a sum of two precisions has the wider one.
        accumulated = optax.tree.cast_like(accumulated, state.accumulated)

        def complete():
            # A product: of a quotient XLA makes one program's product and another's division, which
            # round differently.
            share = 1 / microbatches(state.step)
            means = jax.tree.map(lambda total: total * share, accumulated)
            updated = update(state, *optax.tree.cast_like(means, accumulated))
            return updated._replace(accumulated=jax.tree.map(jnp.zeros_like, accumulated))

        def wait():
            return state._replace(accumulated=accumulated)

        # From the two counters alone: there is no third that could disagree with them.
        due = position(state.step + 1)
        return jax.lax.cond(state.tick == due, complete, wait)

    def scale_rate(rate):
        return lambda count: rate(count) * rate_factor(count)

    return AccumulationSchedule(microbatches, position, updates, scale_rate, start, step)
