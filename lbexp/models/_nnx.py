"""Flax NNX modules as networks."""

import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from lbexp.inputs import only
from lbexp.models import Network


def nnx_network(construct: Callable) -> Network:
    """A module that construct(rngs=...) makes, called as module(x), in the mode that
    module.train() and module.eval() set. Its `nnx.Param`s are trained; its generators are made anew
    from the step's key; one with batch statistics is given a whole batch at once."""

    def build(key):
        return construct(rngs=nnx.Rngs(key))

    kinds = (nnx.Param, nnx.RngState, ...)
    abstract = nnx.eval_shape(lambda: build(jax.random.key(0)))
    graph, *abstract_states = nnx.split(abstract, *kinds)
    params_like, generators_like, others_like = abstract_states

    def init(key):
        _, params, _, others = nnx.split(build(key), *kinds)
        return nnx.to_pure_dict(params), nnx.to_pure_dict(others)

    def apply(params, state, arrays, train, key):
        # In evaluation nothing is to be drawn from them, but the module has to have them.
        generators = _generators(generators_like, jax.random.key(0) if key is None else key)
        trained, others = _filled(params_like, params), _filled(others_like, state)
        module = nnx.merge(graph, trained, generators, others)
        if train:
            module.train()
        else:
            module.eval()
        takes_train = 'train' in inspect.signature(type(module).__call__).parameters
        outputs = module(only(arrays), **({'train': train} if takes_train else {}))
        _, _, _, new = nnx.split(module, *kinds)
        return outputs, nnx.to_pure_dict(new) if train else state

    has_statistics = bool(jax.tree.leaves(others_like))
    return Network(init, apply, together=None if has_statistics else 1)


def _filled(like, values):
    """A state of NNX with these values, nested dicts."""
    # A copy: NNX fills a state in place.
    state = jax.tree.map(lambda leaf: leaf, like)
    nnx.replace_by_pure_dict(state, values)
    return state


def _generators(like, key):
    """Random generators at their start, each with a key of its own."""
    leaves, structure = jax.tree.flatten(like)
    fresh = []
    for i, leaf in enumerate(leaves):
        is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        fresh.append(jax.random.fold_in(key, i) if is_key else jnp.zeros(leaf.shape, leaf.dtype))
    return jax.tree.unflatten(structure, fresh)
