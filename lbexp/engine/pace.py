"""How many microbatches make an update, and when: constant, or growing in training."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import jax.numpy as jnp

from lbexp.batch_size import batch_growth


class Pace(NamedTuple):
    """Functions of updates done, whose numbers may be traced; a microbatch is the unit."""

    accumulation: Callable  # count -> microbatches in the next update, int32
    position: Callable  # count -> microbatches in the first `count` updates, int32
    updates: Callable  # microbatches -> updates that consume at least as many, int32
    rate_factor: Callable  # count -> what the learning rate is multiplied by


def pace(config: dict) -> Pace | None:
    """The pace of a trial; None where every microbatch is an update.

    Args:
        config: resolved; batch_size and the numbers of batch_growth may be traced. batch_growth's
            boundaries are counted in examples here (see `boundaries`).
    """
    size = config['microbatch']
    if size is None:
        return None
    if not config['batch_growth']:
        each = jnp.asarray(config['batch_size'] // size, jnp.int32)
        return Pace(
            lambda count: each,
            lambda count: jnp.asarray(count, jnp.int32) * each,
            lambda ticks: -(-jnp.asarray(ticks, jnp.int32) // each),
            lambda count: 1.0,
        )
    grown = batch_growth(config['batch_size'], microbatch=size, **config['batch_growth'])
    whole = lambda examples: (examples // size).astype(jnp.int32)
    return Pace(
        grown.accumulation,
        lambda count: whole(grown.position(count)),
        lambda ticks: grown.updates(jnp.asarray(ticks) * size).astype(jnp.int32),
        grown.rate_factor,
    )


def boundaries(config: dict, examples: Fraction) -> list[Any]:
    """Where the batch of a run of so many examples grows [examples]: what the configuration gives
    as fractions."""
    return [
        int(Fraction(str(fraction)) * examples) for fraction in config['batch_growth']['boundaries']
    ]
