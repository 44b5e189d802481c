"""A probe is one measurement of a training run: (init, update, summary) of pure functions. One
file, one probe.

The state keeps its structure, shapes and dtypes; the summary gives numbers or small arrays by names
that no other column of a row has. A probe that asks for `groups` sees how noisy the gradient of an
update is, too.

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


class GradientNoise(NamedTuple):
    """Unbiased estimates from the groups of one update (`noise_scale`), of each number that
    `Groups.measure` gives."""

    trace: Any  # tr Sigma, Sigma the covariance of one example's gradient
    square: Any  # |G|^2, G the mean gradient; negative where noise hides it
    batch_size: Scalar  # M, of this update [examples]


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
    noise: GradientNoise | tuple[()] = ()  # of a probe that asks for `groups`; (): it does not


class Groups(NamedTuple):
    """Gradients that a probe asks for: of groups of examples of one update.

    The groups are the microbatches of an accumulation, which cost one `measure` each; or equal
    pieces of them, whose gradients are computed beside the one that trains, which costs about
    another step. What trains does not depend on it.
    """

    # (gradient, params, opt_state) -> numbers, each a sum of squares of entries times factors that
    # do not depend on this update's examples
    measure: Callable
    pieces: int = 1  # equal pieces of each microbatch; 1: the microbatches themselves
    every: Any = 1  # updates t with t = 0 modulo this number are measured; it may be traced


class Probe(NamedTuple):
    """Lives inside the compiled loop: jitted, mapped over trials and checkpointed with them."""

    init: Callable[[UpdateInfo], Any]  # info (abstract or real) -> state
    update: Callable[[Any, UpdateInfo], Any]  # (state, info) -> state
    # state -> {name: scalar or small array}, the columns of a row
    summary: Callable[[Any], dict[str, Any]]
    groups: Groups | None = None  # it asks for info.noise; None: it does not, and nothing is added
