"""One weight for each number and each category: linear or logistic regression on a table."""

import flax.linen as nn

from lbexp.models import Model
from lbexp.models._fields import field_vectors
from lbexp.models._linen import table_network


def linear() -> Model:
    """A weight for each category, a slope for each number (or each piece of it, see FieldVectors),
    and a bias: trained by `binary` it is logistic regression, by `regression` least squares."""

    def network(inputs, outputs):
        vectors = field_vectors('linear', inputs, outputs, has_offsets=False)
        return table_network(_Linear(vectors), inputs)

    return Model(network)


class _Linear(nn.Module):
    vectors: nn.Module

    @nn.compact
    def __call__(self, arrays, train):
        fields = self.vectors(arrays)
        bias = self.param('bias', nn.initializers.zeros, (1, fields.shape[-1]))
        return fields.sum(1) + bias
