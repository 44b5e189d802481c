"""A multilayer perceptron with optional batch norm and dropout."""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import ArrayLike

from lbexp.models import Model
from lbexp.models._linen import linen_network
from lbexp.models._widths import check_widths
from lbexp.models.dropout import Dropout
from lbexp.models.norm import BatchNorm, together
from lbexp.ranges import Fraction, PositiveInteger, checked
from lbexp.shapes import Batch, Outputs


@checked
def mlp(
    hidden: Sequence[PositiveInteger] = (128, 128),
    batch_norm: bool = False,
    ghost: PositiveInteger | Literal['sync', 'replica'] | None = None,
    dropout: Fraction | None = None,
) -> Model:
    """Dense layers with ReLU, then a linear layer; images are flattened.

    Args:
        hidden: widths of the hidden layers [units].
        batch_norm: normalize before each ReLU.
        ghost: examples that share batch-norm statistics; must divide the microbatch. None or
            'sync': the microbatch; 'replica': what one device has of it.
        dropout: probability in [0, 1); None: no dropout.
    """
    check_widths('hidden', hidden)

    def network(inputs, outputs):
        module = MLP(hidden, outputs, batch_norm, ghost, dropout)
        return linen_network(module, inputs, together(batch_norm, ghost))

    return Model(network)


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
