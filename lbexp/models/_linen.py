"""Linen modules as networks."""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from lbexp.inputs import Input, only
from lbexp.models import Network


def linen_network(
    module: nn.Module, inputs: Mapping[str, Input], together: int | None = 1
) -> Network:
    """`module` as (init, apply).

    Args:
        module: called as module(x, train=...), x the array of inputs, or {name: array} of several.
        together: examples that must pass at once.
    """
    blank = only({name: zeros(described) for name, described in inputs.items()})

    def init(key):
        variables = dict(module.init(key, blank, train=False))
        params = variables.pop('params')
        return params, variables

    def apply(params, state, arrays, train, key):
        variables = {'params': params, **state}
        if not train:
            return module.apply(variables, only(arrays), train=False), state
        rngs = {'dropout': key}
        return module.apply(variables, only(arrays), train=True, rngs=rngs, mutable=list(state))

    return Network(init, apply, together)


def zeros(described: Input):
    """One example of an array of inputs, as a model is given it."""
    dtype = jnp.int32 if described.kind in ('categorical', 'tokens') else jnp.float32
    return jnp.zeros((1, *described.shape), dtype)
