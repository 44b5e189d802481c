"""A transformer that predicts the next token, or a hidden one."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from lbexp.models import Model
from lbexp.models._linen import sequence_network
from lbexp.models._rows import read_rows
from lbexp.models.dropout import Dropout
from lbexp.precision import Precision
from lbexp.ranges import Fraction, PositiveInteger, checked
from lbexp.shapes import Segments, TokenLogits, Tokens

# (width, blocks, heads) by the number of parameters beside those of tokens and positions: 12 width
# squared in each block.
SIZES = {
    '0.1M': (64, 2, 2),
    '0.4M': (128, 2, 4),
    '1.6M': (256, 2, 4),
    '5M': (256, 6, 4),
    '19M': (512, 6, 8),
    '42M': (768, 6, 12),
    '96M': (896, 10, 14),
}


@checked
def transformer(
    width: PositiveInteger = 64,
    blocks: PositiveInteger = 2,
    heads: PositiveInteger = 2,
    perceptron: PositiveInteger | None = None,
    dropout: Fraction | None = None,
    precision: Precision | None = None,
    rematerialise: bool = False,
) -> Model:
    """Causal attention and perceptrons, normalized before each; the logits are products with the
    embedding itself.

    Args:
        width: of a position's vector; 12 width^2 parameters in a block.
        blocks: number of them.
        heads: of each attention; must divide `width`.
        perceptron: width of the hidden layer of a block; None: 4 width.
        dropout: probability that a number of a block's output is dropped, in [0, 1); None: no
            dropout.
        precision: of activations and matrix products; parameters, softmax and loss are float32.
            None: that of the run, which rounds the parameters, too.
        rematerialise: compute the activations of a block again for its gradient instead of keeping
            them.
    """

    def network(inputs, outputs):
        (length,) = inputs['tokens'].shape if 'tokens' in inputs else (1,)
        module = Transformer(
            outputs,
            width,
            blocks,
            heads,
            perceptron,
            positions=length,
            dropout=dropout,
            dtype=precision,
            rematerialise=rematerialise,
        )
        return sequence_network('transformer', module, inputs)

    return Model(network, precision=precision)


class Transformer(nn.Module):
    """Blocks of attention and a perceptron, normalized before each (Vaswani et al. 2017,
    arXiv:1706.03762; Radford et al. 2019).

        x <- x + Attention(Norm(x));    x <- x + W_2 gelu(W_1 Norm(x))

    There are no biases, the logits are products with the embedding itself, and positions count from
    the beginning of a segment. A position attends to its own segment alone and, where `causal`, to
    no later one: several sequences in a row are each as if alone. Padding attends to padding.

    Attributes:
        vocabulary: tokens.
        width: d, of a position's vector.
        blocks: number of them.
        heads: of each attention; must divide `width`.
        perceptron: width of the hidden layer of a block; None: 4 d.
        positions: the longest row.
        causal: predict the next token; False: a hidden one, with a view of both sides.
        types: kinds of segments that have a vector of their own, as the two texts of a pair; 0:
            none. They are given as `kinds`.
        dropout: probability that a number of a block's output is dropped in training, in [0, 1);
            None: no dropout.
        dtype: of activations; parameters stay float32. 'bfloat16' on accelerators. None: that of
            the parameters.
        rematerialise: compute activations of a block again for its gradient instead of keeping
            them.
    """

    vocabulary: int
    width: int = 64
    blocks: int = 2
    heads: int = 2
    perceptron: int | None = None
    positions: int = 64
    causal: bool = True
    types: int = 0
    dropout: ArrayLike | None = None
    dtype: DTypeLike | None = None
    rematerialise: bool = False

    def setup(self):
        if self.width % self.heads:
            raise ValueError(
                f'heads: found {self.heads} of width {self.width}; allowed: a divisor of it'
            )
        normal = nn.initializers.normal(0.02)
        self.embedding = self.param('embedding', normal, (self.vocabulary, self.width))
        self.position = self.param('position', normal, (self.positions, self.width))
        if self.types:
            self.kind = self.param('kind', normal, (self.types, self.width))
        # Argument 3, counted from self, is `train`, at which Python looks.
        block = nn.remat(_Block, static_argnums=(3,)) if self.rematerialise else _Block
        hidden = self.perceptron or 4 * self.width
        scale = 0.02 / jnp.sqrt(2.0 * self.blocks)  # of what is added up over the blocks
        self.block = [
            block(self.heads, hidden, scale, self.dropout, self.dtype) for _ in range(self.blocks)
        ]
        self.norm = nn.LayerNorm(use_bias=False, dtype=self.dtype)

    def __call__(
        self, tokens: Tokens, segments: Segments, train: bool, kinds: Segments | None = None
    ) -> TokenLogits:
        """Logits of each position's target."""
        return self.logits(self.features(tokens, segments, train, kinds))

    def features(
        self, tokens: jax.Array, segments: jax.Array, train: bool, kinds: jax.Array | None = None
    ) -> jax.Array:
        """The normalized vector of each position, [n, l, width]."""
        length = tokens.shape[1]
        if length > self.positions:
            raise ValueError(f'tokens: found rows of {length}; allowed: up to {self.positions}')
        x = read_rows(self.embedding, tokens) + read_rows(self.position, _places(segments))
        if self.types and kinds is not None:
            x = x + read_rows(self.kind, kinds)
        x = x.astype(self.dtype or x.dtype)
        mask = _mask(segments, self.causal)
        for block in self.block:
            x = block(x, mask, train)
        return self.norm(x)

    def logits(self, features: jax.Array) -> jax.Array:
        """Products of features [n, l, width] with the embeddings, in float32."""
        table = self.embedding.astype(features.dtype)
        return jnp.einsum('...d,vd->...v', features, table).astype(jnp.float32)


class _Block(nn.Module):
    heads: int
    hidden: int
    scale: ArrayLike  # standard deviation of the matrices that add to x
    dropout: ArrayLike | None
    dtype: DTypeLike | None

    @nn.compact
    def __call__(self, x, mask, train):
        width = x.shape[-1]
        out = nn.initializers.normal(self.scale)
        normal = nn.initializers.normal(0.02)
        h = nn.LayerNorm(use_bias=False, dtype=self.dtype)(x)
        parts = nn.Dense(3 * width, False, self.dtype, kernel_init=normal, name='qkv')(h)
        attended = _attention(parts, mask, self.heads)
        attended = nn.Dense(width, False, self.dtype, kernel_init=out, name='attended')(attended)
        x = x + self._dropped(attended, train)
        h = nn.LayerNorm(use_bias=False, dtype=self.dtype)(x)
        h = nn.gelu(nn.Dense(self.hidden, False, self.dtype, kernel_init=normal, name='up')(h))
        h = nn.Dense(width, False, self.dtype, kernel_init=out, name='down')(h)
        return x + self._dropped(h, train)

    def _dropped(self, x, train):
        if self.dropout is None:
            return x
        return Dropout(self.dropout)(x, train)


def _attention(parts, mask, heads):
    """softmax(q k / sqrt(d / heads)) v, of each head; the softmax in float32."""
    n, length, width = parts.shape
    by_head = parts.reshape(n, length, 3, heads, width // 3 // heads)
    q, k, v = by_head[:, :, 0], by_head[:, :, 1], by_head[:, :, 2]
    scale = q.shape[-1] ** -0.5
    scores = jnp.einsum('nqhd,nkhd->nhqk', q * scale, k).astype(jnp.float32)
    scores = jnp.where(mask[:, None], scores, -1e30)
    weights = jax.nn.softmax(scores).astype(v.dtype)
    return jnp.einsum('nhqk,nkhd->nqhd', weights, v).reshape(n, length, width // 3)


def _places(segments):
    """[n, l]: how far each position is from the beginning of its segment."""
    # No segment is -1: the first position always begins one.
    before = jnp.pad(segments, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    place = jnp.broadcast_to(jnp.arange(segments.shape[1]), segments.shape)
    begin = jnp.where(segments != before, place, 0)
    return place - jax.lax.cummax(begin, axis=1)


def _mask(segments, causal):
    """[n, l, l]: whether a position (the second axis) looks at another (the third)."""
    same = segments[:, :, None] == segments[:, None, :]
    if not causal:
        return same
    place = jnp.arange(segments.shape[1])
    earlier = place[:, None] >= place[None, :]
    return same & earlier[None]
