"""A multilayer perceptron with optional batch norm and dropout."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike

from lbexp.models.dropout import Dropout
from lbexp.models.norm import BatchNorm
from lbexp.shapes import Batch, Outputs


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
