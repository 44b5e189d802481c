"""Forward passes in bfloat16 with parameters that stay float32."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from lbexp.errors import Refusal
from lbexp.models import Model, Network
from lbexp.precision import Precision


def in_precision(model: Model, precision: Precision) -> Model:
    """`model`, computed in a precision: outputs = float32(f(cast(w), cast(x))), the policy of mixed
    precision with master weights (Micikevicius et al. 2018, arXiv:1710.03740, section 3.1; with
    bfloat16, whose range is that of float32, the loss needs no scale: Kalamkar et al. 2019,
    arXiv:1905.12322).

    Parameters, their gradients and the model state keep their dtypes; ids are not cast.

    Args:
        model: as it computes in float32.
        precision: of its products.

    Raises:
        Refusal: the model asks for another precision itself.
    """
    if model.precision not in (None, precision):
        raise Refusal(
            f'precision: found {precision!r} with a model of precision {model.precision!r}; '
            'allowed: None of the model, which then takes that of the run, or the same'
        )
    if precision == 'float32':
        return model

    network, features = functools.partial(_cast_network, model.network, precision), None
    if model.features is not None:
        features = functools.partial(_cast_network, model.features, precision)
    return Model(network, features, precision)


def _cast_network(construct: Callable[..., Network], dtype: str, *arguments) -> Network:
    """The network that `construct` gives for these arguments, computed in a dtype."""
    network = construct(*arguments)

    def apply(params, state, arrays: Mapping[str, Any], train, key):
        low_params, low_arrays = _cast((params, dict(arrays)), dtype)
        outputs, new_state = network.apply(low_params, state, low_arrays, train, key)
        # Running averages are not to lose what a small rate adds to them.
        kept = jax.tree.map(lambda new, old: new.astype(old.dtype), new_state, state)
        return _cast(outputs, jnp.float32), kept

    return network._replace(apply=apply)


def _cast(tree, dtype):
    """Arrays of floating point in `dtype`, others as they are."""

    def cast(leaf):
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)
