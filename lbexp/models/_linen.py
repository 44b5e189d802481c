"""Linen modules as networks."""

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from lbexp.inputs import Input, only
from lbexp.models import Network
from lbexp.models._fields import row_counts


def linen_network(
    module: nn.Module, inputs: Mapping[str, Input], together: int | None = 1
) -> Network:
    """`module` as (init, apply).

    Args:
        module: called as module(x, train=...), x the array of inputs, or {name: array} of several.
        together: examples that must pass at once.
    """

    def init(key):
        variables = dict(module.init(key, only(blank(inputs)), train=False))
        params = variables.pop('params')
        return params, variables

    def apply(params, state, arrays, train, key):
        variables = {'params': params, **state}
        if not train:
            return module.apply(variables, only(arrays), train=False), state
        rngs = {'dropout': key}
        # Given `mutable`, be it an empty list, Flax returns the state as well.
        return module.apply(variables, only(arrays), train=True, rngs=rngs, mutable=list(state))

    return Network(init, apply, together)


def table_network(module: Any, inputs: Mapping[str, Input]) -> Network:
    """A module of the columns of a table, called as module({name: array}, train), whose field
    `vectors` is their FieldVectors."""

    def init(key):
        variables = dict(module.init(key, blank(inputs), train=False))
        params = variables.pop('params')
        return params, variables

    def apply(params, state, arrays, train, key):
        variables = {'params': params, **state}
        if not (train and state):
            return module.apply(variables, arrays, train=train), state
        return module.apply(variables, arrays, train=True, mutable=list(state))

    counts = functools.partial(row_counts, module.vectors)
    return Network(init, apply, row_counts=counts)


def sequence_network(
    name: str, module: nn.Module, inputs: Mapping[str, Input], others: Sequence[str] = ()
) -> Network:
    """A module of rows of tokens, called as module(tokens=..., segments=..., train=...), as (init,
    apply).

    Args:
        others: names of arrays that it may be called with, too.

    Raises:
        ValueError: inputs that are no rows of tokens with their segments.
    """
    needed = {'tokens', 'segments'}
    if not needed <= set(inputs) <= needed | set(others):
        kinds = ', '.join(f'{name!r} ({described.kind})' for name, described in inputs.items())
        allowed = "'tokens' and 'segments', ids"
        if others:
            allowed += f'; and {", ".join(map(repr, others))}'
        raise ValueError(f'{name}: found {kinds}; allowed: {allowed}')

    def init(key):
        arrays: dict[str, Any] = blank(inputs)
        return module.init(key, **arrays, train=False)['params'], {}

    def apply(params, state, arrays, train, key):
        rngs = {'dropout': key} if train else {}
        return module.apply({'params': params}, **arrays, train=train, rngs=rngs), state

    return Network(init, apply)


def blank(inputs: Mapping[str, Input]) -> dict[str, jax.Array]:
    """One example of zeros, as a model is given it. Made where it is needed: inside a traced
    function nothing is compiled for it."""
    return {name: zeros(described) for name, described in inputs.items()}


def zeros(described: Input):
    """One example of an array of inputs, as a model is given it."""
    dtype = jnp.int32 if described.kind in ('categorical', 'tokens') else jnp.float32
    return jnp.zeros((1, *described.shape), dtype)


def own_linen_network(module: nn.Module, inputs: Mapping[str, Input]) -> Network:
    """A module of the user's, called as module(x, train=...), or module(x) where it takes no
    `train`. One with batch statistics is given a whole batch at once."""
    takes_train = 'train' in inspect.signature(type(module).__call__).parameters

    def mode(train):
        return {'train': train} if takes_train else {}

    def init(key):
        keys = dict(zip(('params', 'dropout'), jax.random.split(key)))
        variables = dict(module.init(keys, only(blank(inputs)), **mode(False)))
        return variables.pop('params'), variables

    def apply(params, state, arrays, train, key):
        variables, x = {'params': params, **state}, only(arrays)
        if not train:
            return module.apply(variables, x, **mode(False)), state
        return module.apply(variables, x, **mode(True), rngs={'dropout': key}, mutable=list(state))

    return Network(init, apply, together=_together(module, inputs, mode(False)))


def _together(module, inputs, mode):
    """None where statistics are shared by a batch. What goes wrong here is told where the
    module is trained."""

    def init():
        return module.init(jax.random.key(0), only(blank(inputs)), **mode)

    try:
        variables = jax.eval_shape(init)
    except Exception:
        return 1
    return None if 'batch_stats' in variables else 1
