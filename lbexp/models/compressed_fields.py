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
from lbexp.precision import upcast
from lbexp.ranges import NonNegativeInteger, PositiveInteger, checked
from lbexp.shapes import FieldProducts, Fields, Projection

_FITTED = 100  # microbatches, after which principal directions stay
_RATE = 0.05  # of the running mean, at least


@checked
def compressed_fields(
    combinations: PositiveInteger = 4,
    projection: Literal['random', 'learned', 'pca'] = 'learned',
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
        projection: 'random': drawn once and fixed; 'learned': trained, from a random start; 'pca':
            the first k principal directions of the vectors of training rows, see `principal`: a
            running mean of X X^T over the first 100 microbatches, frozen from then on.
        hidden: widths of the perceptron's layers [units].
        embedding: E, width of a column's vector [units].
        projection_seed: of a random P, the same in all trials.
    """
    check_widths('hidden', hidden)

    def network(inputs, outputs):
        vectors = field_vectors('compressed_fields', inputs, embedding)
        count = sum(described.shape[0] for described in inputs.values())
        if projection == 'pca' and combinations > count:
            raise ValueError(
                f'compressed_fields: found {combinations} combinations of {count} columns with '
                f"'pca'; allowed: at most {count}"
            )
        module = _Compressed(
            vectors, combinations, projection, projection_seed, tuple(hidden), outputs
        )
        return table_network(module, inputs)

    return Model(network)


def random_projection(seed: int, combinations: int, fields: int) -> Projection:
    """P [k, F], entries N(0, 1 / k)."""
    return jax.random.normal(jax.random.key(seed), (combinations, fields)) * combinations**-0.5


def products(fields: Fields, projection: Projection) -> FieldProducts:
    """[n, F, k]: the dot products of each field with each combination of fields, X (P X)^T."""
    compressed = jnp.einsum('kf,nfe->nke', projection, fields)
    return jnp.einsum('nfe,nke->nfk', fields, compressed)


def principal(moments: jax.Array, combinations: int) -> Projection:
    """P [k, F] with orthonormal rows: the eigenvectors of the largest eigenvalues of E[X X^T]
    [F, F], each with its largest entry positive.

    Of all P with orthonormal rows it keeps the most of X, E |P X|^2, and loses the least, E |X -
    P^T P X|^2 (Eckart and Young 1936).
    """
    _, vectors = jnp.linalg.eigh(moments)  # ascending
    first = vectors[:, ::-1][:, :combinations].T
    largest = jnp.take_along_axis(first, jnp.abs(first).argmax(1)[:, None], axis=1)
    return first * jnp.sign(largest)


class _Compressed(nn.Module):
    vectors: nn.Module
    combinations: int
    projection: str
    seed: int  # of a random one
    hidden: tuple[int, ...]
    outputs: int

    @nn.compact
    def __call__(self, arrays, train):
        fields = self.vectors(arrays)
        projection = self._projection(fields, train).astype(fields.dtype)
        features = [flat(fields), flat(products(fields, projection))]
        h = Perceptron(self.hidden)(jnp.concatenate(features, axis=-1))
        return nn.Dense(self.outputs, name='logits')(h)

    def _projection(self, fields, train):
        count = fields.shape[1]
        if self.projection == 'random':
            return random_projection(self.seed, self.combinations, count)
        if self.projection == 'learned':
            normal = nn.initializers.normal(self.combinations**-0.5)
            return self.param('projection', normal, (self.combinations, count))
        moments = self.variable('principal', 'moments', jnp.eye, count)
        updates = self.variable('principal', 'updates', jnp.zeros, (), jnp.int32)
        # Of the rows before these: no example of a microbatch depends on another.
        projection = principal(moments.value, self.combinations)
        if train and not self.is_initializing():
            fixed = upcast(jax.lax.stop_gradient(fields))
            of_rows = jnp.einsum('nfe,nge->fg', fixed, fixed) * (1 / (len(fixed) * fixed.shape[2]))
            # at first the mean of all, then one that forgets: the vectors are still changing
            rate = jnp.maximum(1 / (updates.value + 1.0), _RATE)
            rate = jnp.where(updates.value < _FITTED, rate, 0.0)
            moments.value = moments.value + rate * (of_rows - moments.value)
            updates.value = updates.value + 1
        return projection
