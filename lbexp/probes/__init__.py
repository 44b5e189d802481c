"""A probe is one measurement of a training run: (init, update, summary) of pure functions. One
file, one probe.

The state keeps its structure, shapes and dtypes; the summary gives numbers or small arrays by names
that no other column of a row has.

    import jax.numpy as jnp
    from lbexp.probes import Probe

    def largest_loss() -> Probe:
        return Probe(
            init=lambda info: jnp.zeros((), jnp.float32),
            update=lambda state, info: jnp.maximum(state, info.loss.astype(jnp.float32)),
            summary=lambda state: {'largest_loss': state},
        )
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from lbexp.shapes import Count, Flag, Params, Scalar


class UpdateInfo(NamedTuple):
    """What a probe sees after each optimizer update."""

    step: Count  # updates done, this one included
    loss: Scalar  # mean training loss of the global batch
    grads: Params  # gradient of that loss, before the update
    updates: Params  # what the optimizer added to the parameters
    params: Params  # parameters after the update
    opt_state: Any  # optimizer state after the update
    learning_rate: Scalar  # the scheduled rate that this update used
    logging: Flag  # a row is written after this update


class Probe(NamedTuple):
    """Lives inside the compiled loop: jitted, mapped over trials and checkpointed with them."""

    init: Callable[[UpdateInfo], Any]  # info (abstract or real) -> state
    update: Callable[[Any, UpdateInfo], Any]  # (state, info) -> state
    # state -> {name: scalar or small array}, the columns of a row
    summary: Callable[[Any], dict[str, Any]]
