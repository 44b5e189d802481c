"""Deep and cross networks: products of fields up to a degree, beside or below a perceptron."""

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
from lbexp.shapes import FlatFields


@checked
def dcn(
    cross: Literal['vector', 'matrix', 'mixture'] = 'matrix',
    layers: NonNegativeInteger = 2,
    hidden: Sequence[PositiveInteger] = (64, 64),
    structure: Literal['stacked', 'parallel'] = 'stacked',
    embedding: PositiveInteger = 10,
    rank: PositiveInteger | None = None,
    experts: PositiveInteger = 4,
) -> Model:
    """Cross layers on x_0, the vectors of all columns; layer l has products of up to l + 1 of them.

        vector:   x_{l+1} = x_0 (x_l . w_l) + b_l + x_l              (Wang et al. 2017, 1708.05123)
        matrix:   x_{l+1} = x_0 * (W_l x_l + b_l) + x_l              (Wang et al. 2020, 2008.13535)
        mixture:  x_{l+1} = sum_i G_i(x_l) E_i(x_l) + x_l,           (the same, DCN-Mix)
                  E_i = x_0 * (U_i tanh(C_i tanh(V_i^T x_l)) + b_l),  G = softmax of a linear layer

    stacked: the perceptron reads what the cross layers give; parallel: it reads x_0, and a linear
    layer reads both.

    Args:
        cross: the form of a cross layer.
        layers: cross layers; 0: a perceptron on x_0 alone.
        hidden: widths of the perceptron's layers [units]; (): there is none.
        structure: where the perceptron stands.
        embedding: width of a column's vector [units].
        rank: of W = U V^T, and of U_i and V_i; None: W is whole, and a mixture has a quarter of
            x_0's width.
        experts: of a mixture; the gates are each layer's own.
    """
    check_widths('hidden', hidden)

    def network(inputs, outputs):
        vectors = field_vectors('dcn', inputs, embedding)
        layer = CrossLayer(cross, rank, experts)
        module = _DCN(vectors, layer, layers, tuple(hidden), structure, outputs)
        return table_network(module, inputs)

    return Model(network)


class CrossLayer(nn.Module):
    """x_l -> x_{l+1}, see `dcn`.

    Attributes:
        form: 'vector', 'matrix' or 'mixture'.
        rank: of the matrices; None: see `dcn`.
        experts: of a mixture.
    """

    form: str
    rank: int | None = None
    experts: int = 4

    @nn.compact
    def __call__(self, start: FlatFields, x: FlatFields) -> FlatFields:
        width = x.shape[-1]
        bias = self.param('bias', nn.initializers.zeros, (1, width))
        if self.form == 'vector':
            weight = self.param('weight', nn.initializers.lecun_normal(), (width, 1))
            # x_l . w_l is one number for each example, which scales all of x_0.
            return start * (x @ weight) + bias + x
        if self.form == 'matrix':
            if self.rank is not None:
                # W = U V^T is never formed: two thin products, 2 d r numbers in place of d^2.
                x_low = nn.Dense(self.rank, use_bias=False, name='down')(x)
                product = nn.Dense(width, use_bias=False, name='up')(x_low)
            else:
                product = nn.Dense(width, use_bias=False, name='matrix')(x)
            return start * (product + bias) + x
        rank = self.rank or max(width // 4, 1)
        normal = nn.initializers.lecun_normal(batch_axis=0)
        down = self.param('down', normal, (self.experts, width, rank))
        middle = self.param('middle', normal, (self.experts, rank, rank))
        up = self.param('up', normal, (self.experts, rank, width))
        # All experts in one product each: V_i^T x_l, then C_i.
        h = jnp.tanh(jnp.einsum('nd,edr->ner', x, down))
        h = jnp.tanh(jnp.einsum('ner,ers->nes', h, middle))
        of_expert = start[:, None] * (jnp.einsum('ner,erd->ned', h, up) + bias[None])
        gates = jax.nn.softmax(nn.Dense(self.experts, name='gates')(x))
        return jnp.einsum('ne,ned->nd', gates, of_expert) + x


class _DCN(nn.Module):
    vectors: nn.Module
    layer: CrossLayer
    layers: int
    hidden: tuple[int, ...]
    structure: str
    outputs: int

    @nn.compact
    def __call__(self, arrays, train):
        start = flat(self.vectors(arrays))
        x = start
        for number in range(self.layers):
            # A copy for each layer: Flax shares the weights of a module that is called twice.
            x = self.layer.clone(name=f'cross_{number}', parent=self)(start, x)
        if self.structure == 'stacked':
            features = Perceptron(self.hidden)(x)
        else:
            features = jnp.concatenate([x, Perceptron(self.hidden)(start)], axis=-1)
        return nn.Dense(self.outputs, name='logits')(features)
