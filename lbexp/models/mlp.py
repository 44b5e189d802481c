"""A multilayer perceptron with optional batch norm and dropout."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from lbexp.models import Model
from lbexp.models._linen import linen_network
from lbexp.models._rows import promote_to_float32
from lbexp.models._widths import check_widths
from lbexp.models.dropout import Dropout
from lbexp.models.norm import BatchNorm, Ghost, together
from lbexp.ranges import Fraction, PositiveInteger, checked
from lbexp.shapes import Batch, Outputs


@checked
def mlp(
    hidden: Sequence[PositiveInteger] = (128, 128),
    batch_norm: bool = False,
    ghost: Ghost = None,
    dropout: Fraction | None = None,
    embedding: PositiveInteger = 8,
) -> Model:
    """Dense layers with ReLU, then a linear layer.

    Images and numbers are flattened; each categorical column is a vector that is learned, as wide
    for 2 categories as for 1,000; all of it together is the first layer's input.

    Args:
        hidden: widths of the hidden layers [units].
        batch_norm: normalize before each ReLU.
        ghost: examples that share batch-norm statistics; must divide the microbatch. None or
            'sync': the microbatch; 'replica': what one device has of it; 'frozen': the running
            statistics normalize in training, too, and stay as they are.
        dropout: probability in [0, 1); None: no dropout.
        embedding: width of the vector of a category [units].
    """
    check_widths('hidden', hidden)

    def network(inputs, outputs):
        module = MLP(hidden, outputs, batch_norm, ghost, dropout)
        vocabularies = _columns_of_ids(inputs)
        if len(inputs) > 1 or vocabularies:
            module = Joined(module, vocabularies, embedding)
        return linen_network(module, inputs, together(batch_norm, ghost))

    return Model(network)


def _columns_of_ids(inputs):
    """{name: number of ids of each column} of the categorical inputs."""
    vocabularies = {}
    for name, described in inputs.items():
        if described.kind == 'tokens':
            raise ValueError(f'mlp: found tokens {name!r}; allowed: images, numbers, categories')
        if described.kind == 'categorical':
            vocabularies[name] = described.vocabulary
    return vocabularies


class Joined(nn.Module):
    """Several inputs as one vector, categories embedded, and what follows.

    Attributes:
        after: module of the joined vector.
        vocabularies: {name: number of ids of each column} of the categorical inputs.
        width: of the vector of an id [units].
    """

    after: nn.Module
    vocabularies: Mapping[str, Sequence[int]]
    width: int

    @nn.compact
    def __call__(self, x: Any, train: bool) -> Any:
        arrays = x if isinstance(x, dict) else dict.fromkeys(self.vocabularies, x)
        vectors = []
        for name, values in sorted(arrays.items()):
            if name in self.vocabularies:
                # One table for all columns: ids of a column begin where those before it end.
                sizes = np.asarray(self.vocabularies[name])
                # As small as in the models of clicks: rows of 1 / sqrt(width), as Flax has them,
                # drown what is learned of ids that are seldom seen.
                table = nn.Embed(
                    int(sizes.sum()),
                    self.width,
                    embedding_init=nn.initializers.normal(0.01),
                    promote_dtype=promote_to_float32,
                    name=f'{name}_embedding',
                )
                first = (np.cumsum(sizes) - sizes).astype(np.int32)
                values = table(values + first[None, :]).astype(table.embedding.dtype)
            vectors.append(values.reshape(len(values), -1))
        return self.after(jnp.concatenate(vectors, axis=1), train)


class MLP(nn.Module):
    """Dense layers with ReLU, then a linear layer.

    Attributes:
        hidden: width of each hidden layer [units].
        outputs: width of the last layer [units].
        batch_norm: normalize before each ReLU.
        ghost: examples that share batch-norm statistics, or a policy of BatchNorm; None: the
            microbatch.
        dropout: probability that a hidden unit is dropped in training, in [0, 1); None: no dropout.
    """

    hidden: Sequence[int]
    outputs: int
    batch_norm: bool = False
    ghost: int | str | None = None
    dropout: ArrayLike | None = None

    @nn.compact
    def __call__(self, x: Batch, train: bool) -> Outputs:
        x = jnp.reshape(x, (len(x), -1))
        for width in self.hidden:
            x = nn.Dense(width, use_bias=not self.batch_norm)(x)
            if self.batch_norm:
                x = BatchNorm(self.ghost)(x, train)
            x = nn.relu(x)
            if self.dropout is not None:
                x = Dropout(self.dropout)(x, train)
        return nn.Dense(self.outputs)(x)
