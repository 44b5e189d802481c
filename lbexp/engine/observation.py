"""What probes that look at every update are shown of one: its gradient before it, and all of it
after."""

from typing import Any

import jax
import jax.numpy as jnp

from lbexp.engine.components import TrialComponents
from lbexp.probes import UpdateInfo


def looked_before(
    trial: TrialComponents, states: tuple, gradient: Any, logging: jax.Array, opt_state: Any
) -> tuple[tuple, Any]:
    """The states of probes, of which some look at the gradient before the optimizer does, and
    `opt_state`, from which nothing is updated before they have."""
    looked = []
    for probe, state in zip(trial.probes, states, strict=True):
        if probe.before is not None:
            state = probe.before(state, gradient, logging)
            opt_state = _counted_after(opt_state, state)
        looked.append(state)
    return tuple(looked), opt_state


def observed(trial: TrialComponents, states: tuple, info: UpdateInfo, noise: tuple) -> tuple:
    """The states of the probes after an update.

    Args:
        noise: of its gradients, for each probe; (): there is none.
    """
    noise = noise or ((),) * len(trial.probes)
    new_states = []
    for probe, state, of_probe in zip(trial.probes, states, noise, strict=True):
        new_states.append(probe.update(state, info._replace(noise=of_probe)))
    return tuple(new_states)


def _counted_after(opt_state, known):
    """`opt_state`, bit by bit, but to XLA its counters wait for `known`: it would look at the
    gradient last, and keep it beside the updates. A gradient that waits would be kept twice."""
    first = jax.tree.leaves(known)[0].ravel()[0]
    never = (first < 0) & (first > 0)

    def after(leaf):
        if leaf.ndim or not jnp.issubdtype(leaf.dtype, jnp.integer):
            return leaf
        return jnp.where(never, jnp.zeros((), leaf.dtype), leaf)

    return jax.tree.map(after, opt_state)
