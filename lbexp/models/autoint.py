"""Attention between the columns of a table."""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from lbexp.models import Model
from lbexp.models._fields import Perceptron, field_vectors, flat
from lbexp.models._linen import table_network
from lbexp.models._widths import check_widths
from lbexp.ranges import PositiveInteger, checked
from lbexp.shapes import AttendedFields, Fields


@checked
def autoint(
    blocks: PositiveInteger = 2,
    heads: PositiveInteger = 2,
    width: PositiveInteger = 16,
    hidden: Sequence[PositiveInteger] = (),
    embedding: PositiveInteger = 16,
) -> Model:
    """Blocks of self-attention over the vectors e_m of the columns (Song et al. 2019, AutoInt,
    arXiv:1810.11921, eq. 5 to 8): of each head h

        a_mk = softmax_k <W_q e_m, W_k e_k>,   e'_m = sum_k a_mk W_v e_k  (heads side by side),
        e_m <- relu(e'_m + W_res e_m)

    The products are not scaled by the root of the width, as in the paper.

    Args:
        blocks: number of them.
        heads: of each attention.
        width: of a head [units].
        hidden: widths of a perceptron on the vectors beside it ("AutoInt+"); (): there is none.
        embedding: width of a column's vector [units].
    """
    check_widths('hidden', hidden)

    def network(inputs, outputs):
        vectors = field_vectors('autoint', inputs, embedding)
        module = _AutoInt(vectors, blocks, heads, width, tuple(hidden), outputs)
        return table_network(module, inputs)

    return Model(network)


class FieldAttention(nn.Module):
    """A block of attention over fields, see `autoint`: [n, F, E] -> [n, F, heads width].

    Attributes:
        heads, width: as of `autoint`.
    """

    heads: int
    width: int

    @nn.compact
    def __call__(self, fields: Fields) -> AttendedFields:
        shape = (self.heads, self.width)
        q, k, v = (
            nn.DenseGeneral(shape, use_bias=False, name=name)(fields)
            for name in ('query', 'key', 'value')
        )
        weights = jax.nn.softmax(jnp.einsum('nmhd,nkhd->nhmk', q, k))
        attended = jnp.einsum('nhmk,nkhd->nmhd', weights, v)
        attended = attended.reshape(*fields.shape[:2], -1)
        residual = nn.Dense(self.heads * self.width, use_bias=False, name='residual')(fields)
        return nn.relu(attended + residual)


class _AutoInt(nn.Module):
    vectors: nn.Module
    blocks: int
    heads: int
    width: int
    hidden: tuple[int, ...]
    outputs: int

    @nn.compact
    def __call__(self, arrays, train):
        fields = self.vectors(arrays)
        attended = fields
        for _ in range(self.blocks):
            attended = FieldAttention(self.heads, self.width)(attended)
        logits = nn.Dense(self.outputs, name='logits')(flat(attended))
        if self.hidden:
            deep = Perceptron(self.hidden)(flat(fields))
            logits = logits + nn.Dense(self.outputs, use_bias=False, name='deep')(deep)
        return logits
