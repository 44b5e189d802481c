"""Equinox modules as networks."""

import inspect
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from lbexp.errors import Refusal
from lbexp.inputs import only
from lbexp.models import Network


def equinox_network(construct: Callable) -> Network:
    """A module that construct(key=...) makes, called on one example: module(x), or
    module(x, key=...) where it takes a key. Dropout and the like are off in evaluation.

    Its floating-point arrays are trained, by the names of their paths ('layers.0.weight').

    Raises:
        Refusal: it holds other arrays, or state that training changes (eqx.nn.BatchNorm).
    """
    abstract = eqx.filter_eval_shape(lambda key: construct(key=key), jax.random.key(0))
    trained, static = eqx.partition(abstract, _is_trained)
    _refuse_arrays(static)
    structure = jax.tree.structure(trained)

    def init(key):
        trained, _ = eqx.partition(construct(key=key), _is_trained)
        named = jax.tree_util.tree_flatten_with_path(trained)[0]
        return {_name(path): leaf for path, leaf in named}, {}

    names = [_name(path) for path, _ in jax.tree_util.tree_flatten_with_path(trained)[0]]

    def apply(params, state, arrays, train, key):
        filled = jax.tree.unflatten(structure, [params[name] for name in names])
        module = eqx.nn.inference_mode(eqx.combine(filled, static), value=not train)
        x = only(arrays)
        if 'key' not in inspect.signature(type(module).__call__).parameters:
            return jax.vmap(module)(x), state
        count = len(jax.tree.leaves(x)[0])
        if key is None:
            return jax.vmap(lambda one: module(one, key=None))(x), state
        # A key for each example: one for all would drop the same units in each.
        keys = jax.random.split(key, count)
        return jax.vmap(lambda one, key: module(one, key=key))(x, keys), state

    return Network(init, apply)


def _is_trained(leaf):
    is_array = eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)
    return is_array and jnp.issubdtype(leaf.dtype, jnp.floating)


def _refuse_arrays(static):
    for path, leaf in jax.tree_util.tree_flatten_with_path(static)[0]:
        if isinstance(leaf, (jax.ShapeDtypeStruct, eqx.nn.StateIndex)) or eqx.is_array(leaf):
            raise Refusal(
                f'model: found {_name(path)} of {type(leaf).__name__}, which is not trained; '
                'allowed: modules whose arrays are floating point, without eqx.nn.State'
            )


def _name(path):
    return '.'.join(str(getattr(entry, 'name', getattr(entry, 'idx', entry))) for entry in path)
