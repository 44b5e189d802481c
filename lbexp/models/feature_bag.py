"""Another model that sees a random part of a table's columns: a member of a feature-bagged
ensemble."""

import jax
import jax.numpy as jnp

from lbexp.models import Model, Network
from lbexp.ranges import PositiveFraction, checked

_STREAM = 0x62616773  # keeps the choice of columns apart from the weights' streams


@checked
def feature_bag(model: Model, share: PositiveFraction = 0.7) -> Model:
    """`model`, given round(share F) of the F columns, at least one; the others are constant: 0, the
    mean of a number, and the first of a category's ids.

    Which columns these are is drawn with the weights, from the trial's seed, and kept in the model
    state. So trials that differ in the seed, or in the share, are one program: the members of an
    ensemble, and with a share of 1 the whole model, whose weights begin as without the bag.

    Args:
        model: a model of the columns of a table.
        share: of the columns, in (0, 1]; may be traced.

    Random subspaces: Ho 1998, doi:10.1109/34.709601.

    Raises:
        ValueError: inputs that are no columns.
    """

    def network(inputs, outputs):
        for name, described in inputs.items():
            if len(described.shape) != 1:
                raise ValueError(
                    f'feature_bag: found {name!r} of shape {described.shape}; allowed: columns of '
                    'a table'
                )
        inner = model.network(inputs, outputs)
        sizes = {name: described.shape[0] for name, described in inputs.items()}

        def init(key):
            params, inner_state = inner.init(key)
            chosen = _chosen(jax.random.fold_in(key, _STREAM), sizes, share)
            return params, {'columns': chosen, 'model': inner_state}

        def apply(params, state, arrays, train, key):
            seen = _seen(arrays, state['columns'])
            outputs, inner_state = inner.apply(params, state['model'], seen, train, key)
            return outputs, {**state, 'model': inner_state}

        # no row_counts: what is not seen reads the rows of other ids than the examples have
        return Network(init, apply, inner.together)

    return Model(network, precision=model.precision)


def _chosen(key, sizes, share):
    """{name: which of its columns are seen [columns], float32 0 or 1}, of the inputs {name: number
    of columns}."""
    count = sum(sizes.values())
    visible = jnp.maximum(jnp.round(share * count), 1)
    places = jax.random.permutation(key, count)
    chosen, first = {}, 0
    for name, size in sizes.items():
        chosen[name] = (places[first : first + size] < visible).astype(jnp.float32)
        first += size
    return chosen


def _seen(arrays, chosen):
    seen = {}
    for name, columns in chosen.items():
        values = arrays[name]
        seen[name] = jnp.where(columns[None] > 0, values, jnp.zeros_like(values))
    return seen
