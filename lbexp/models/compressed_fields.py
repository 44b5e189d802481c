"""Dot products of all columns with a few combinations of them, in place of all pairs."""

from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from lbexp.models import Model
from lbexp.models._fields import Perceptron, field_vectors, flat
from lbexp.models._linen import table_network
from lbexp.models._widths import check_widths
from lbexp.ranges import NonNegativeInteger, PositiveInteger, checked
from lbexp.shapes import FieldProducts, Fields, Projection


@checked
def compressed_fields(
    combinations: PositiveInteger = 4,
    projection: Literal['random', 'learned'] = 'learned',
    hidden: Sequence[PositiveInteger] = (64, 64),
    embedding: PositiveInteger = 10,
    projection_seed: NonNegativeInteger = 0,
) -> Model:
    """A perceptron on the vectors X [F, E] of the columns and on X Y^T, Y = P X [k, E]: F k dot
    products in place of F^2 (as compressed interactions in Zhang et al. 2022, DHEN,
    arXiv:2203.11014).

    Of a random P with entries N(0, 1 / k) the dot products of columns of Y are those of X on
    average, E[Y^T Y] = X^T X, with the variance (|x|^2 |y|^2 + (x . y)^2) / k for columns x, y
    (Johnson and Lindenstrauss 1984).

    Args:
        combinations: k.
        projection: 'random': drawn once and fixed; 'learned': trained, from a random start.
        hidden: widths of the perceptron's layers [units].
        embedding: E, width of a column's vector [units].
        projection_seed: of a random P, the same in all trials.
    """
    check_widths('hidden', hidden)

    def network(inputs, outputs):
        vectors = field_vectors('compressed_fields', inputs, embedding)
        seed = projection_seed if projection == 'random' else None
        module = _Compressed(vectors, combinations, seed, tuple(hidden), outputs)
        return table_network(module, inputs)

    return Model(network)


def random_projection(seed: int, combinations: int, fields: int) -> Projection:
    """P [k, F], entries N(0, 1 / k)."""
    return jax.random.normal(jax.random.key(seed), (combinations, fields)) * combinations**-0.5


def products(fields: Fields, projection: Projection) -> FieldProducts:
    """[n, F, k]: the dot products of each field with each combination of fields, X (P X)^T."""
    compressed = jnp.einsum('kf,nfe->nke', projection, fields)
    return jnp.einsum('nfe,nke->nfk', fields, compressed)


class _Compressed(nn.Module):
    vectors: nn.Module
    combinations: int
    seed: int | None
    hidden: tuple[int, ...]
    outputs: int

    @nn.compact
    def __call__(self, arrays, train):
        fields = self.vectors(arrays)
        count = fields.shape[1]
        if self.seed is None:
            normal = nn.initializers.normal(self.combinations**-0.5)
            projection = self.param('projection', normal, (self.combinations, count))
        else:
            projection = random_projection(self.seed, self.combinations, count)
        features = [flat(fields), flat(products(fields, projection))]
        h = Perceptron(self.hidden)(jnp.concatenate(features, axis=-1))
        return nn.Dense(self.outputs, name='logits')(h)
