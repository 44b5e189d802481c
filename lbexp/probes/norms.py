"""Euclidean lengths of gradient, parameters and update, over all leaves."""

import jax
import jax.numpy as jnp
import optax

from lbexp.probes import Probe


def norms() -> Probe:
    """|g|, |w| and |dw| (2-norms over all parameters) at the last update before each row.

    Computed only where a row is written: three passes over the parameters would be 10-40 % of a
    small step.
    """

    def init(info):
        zero = jnp.zeros((), jnp.float32)
        return {'gradient_norm': zero, 'parameter_norm': zero, 'update_norm': zero}

    def update(state, info):
        def measure():
            trees = {
                'gradient_norm': info.grads,
                'parameter_norm': info.params,
                'update_norm': info.updates,
            }
            norms = {}
            for name, tree in trees.items():
                norms[name] = optax.tree.norm(tree).astype(jnp.float32)
            return norms

        return jax.lax.cond(info.logging, measure, lambda: state)

    return Probe(init, update, lambda state: state)
