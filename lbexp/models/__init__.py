"""A model is a function from the description of the inputs to a network: (init, apply). One file,
one model.

    import jax
    import jax.numpy as jnp
    from lbexp.models import Model, Network

    def linear(scale: float = 0.1) -> Model:
        def network(inputs, outputs):
            (name,) = inputs  # of the array of inputs
            size = 1
            for length in inputs[name].shape:
                size *= length

            def init(key):
                kernel = scale * jax.random.normal(key, (size, outputs))
                return {'kernel': kernel, 'bias': jnp.zeros(outputs)}, {}

            def apply(params, state, arrays, train, key):
                x = arrays[name].reshape(-1, size)  # [n, size], normalised
                return x @ params['kernel'] + params['bias'][None], state

            return Network(init, apply)

        return Model(network)
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lbexp.inputs import Input
from lbexp.precision import Precision
from lbexp.shapes import Init


class Network(NamedTuple):
    """The functions of a model, for inputs and outputs that are known.

    State is what training changes without a gradient: batch-norm statistics; {} of most. Without
    training, `apply` gives back the state that it was given, and the key is None.
    """

    init: Init  # key -> (params, state)
    # (params, state, {name: array [n, ...]}, train, key) -> (outputs [n, ...], state)
    apply: Callable[[Any, Any, dict[str, Any], bool, Any], tuple[Any, Any]]
    # examples that must pass at once: 1; a ghost batch; None: all of a batch
    together: int | None = 1
    # {name: array [n, ...]} -> {path of a parameter: how often the examples read each of its rows
    # [rows]}, of tables of embeddings; None: not offered
    row_counts: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None


class Model(NamedTuple):
    """An architecture: a network for any inputs that it can take."""

    # ({name: description of an array}, outputs: numbers for each example, or each of its tokens)
    # -> Network
    network: Callable[[Mapping[str, Input], int], Network]
    # {name: description of an array} -> Network without the last layer, whose outputs are that
    # layer's inputs [n, features] and whose parameters have the same names; None: not offered
    features: Callable[[Mapping[str, Input]], Network] | None = None
    # 'float32' or 'bfloat16', where the model has one of its own; None: that of the run
    precision: Precision | None = None
