"""How far the weights are from where they began."""

import jax
import jax.numpy as jnp
import optax

from lbexp.probes import Probe


def distance() -> Probe:
    """|w_t - w_0|, the 2-norm over all parameters, at the last update before each row.

    In the phase of high learning rate it grows like log t (Hoffer, Hubara, Soudry 2017,
    arXiv:1705.08741, section 3: "ultra-slow diffusion"). The state keeps the initial parameters.
    """

    def init(info):
        # A copy: the compiled loop is given parameters and state for good, one buffer only once.
        start = jax.tree.map(jnp.copy, info.params)
        return start, jnp.zeros((), jnp.float32)

    def update(state, info):
        start, last = state

        def measure():
            change = optax.tree.sub(info.params, start)
            return optax.tree.norm(change).astype(jnp.float32)

        return start, jax.lax.cond(info.logging, measure, lambda: last)

    return Probe(init, update, lambda state: {'distance': state[1]})
