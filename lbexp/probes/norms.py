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

    def before(state, gradient, logging):
        return state | {'gradient_norm': _norm_if(logging, gradient, state['gradient_norm'])}

    def update(state, info):
        # A conditional for each: what one for all reads would have to be there at the same time.
        measured = {}
        for name, tree in {'parameter_norm': info.params, 'update_norm': info.updates}.items():
            measured[name] = _norm_if(info.logging, tree, state[name])
        return state | measured

    return Probe(init, update, lambda state: state, before=before)


def _norm_if(logging, tree, last):
    """The norm where a row is written, else the last one."""
    return jax.lax.cond(logging, _norm, lambda tree: last, tree)


def _norm(tree):
    return optax.tree.norm(tree).astype(jnp.float32)
