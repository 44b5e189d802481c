"""A language model of long short-term memory."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lbexp.models import Model
from lbexp.models._linen import sequence_network
from lbexp.models._rows import promote_to_float32
from lbexp.models.dropout import Dropout
from lbexp.precision import upcast
from lbexp.ranges import Fraction, PositiveInteger, checked
from lbexp.shapes import Segments, TokenLogits, Tokens


@checked
def lstm(
    embedding: PositiveInteger = 64,
    hidden: PositiveInteger = 128,
    layers: PositiveInteger = 1,
    dropout: Fraction | None = None,
    rematerialise: bool = False,
) -> Model:
    """Embedding, LSTM layers, dropout, and a linear layer to the logits of the next token.

    Args:
        embedding: width of a token's vector.
        hidden: width of each layer's state [units].
        layers: LSTMs upon each other.
        dropout: probability that a number of the embedding or of a state is dropped, in [0, 1);
            None: no dropout.
        rematerialise: compute the gates of a position again for their gradient instead of keeping
            them; the states are kept.
    """

    def network(inputs, outputs):
        module = LSTM(outputs, embedding, hidden, layers, dropout, rematerialise=rematerialise)
        return sequence_network('lstm', module, inputs)

    return Model(network)


class LSTM(nn.Module):
    """Embedding, LSTM layers, dropout, and a linear layer to the logits of the next token.

    The state is zero where a segment begins, so that of several sequences packed into a row each is
    read as if it were alone. An update of a layer (Hochreiter and Schmidhuber 1997; the forget
    gate: Gers et al. 2000), with [i, f, g, o] = W x_t + U h_{t-1} + b:

        c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g)
        h_t = sigmoid(o) tanh(c_t)

    W x_t of all positions is one matrix product before the loop over time. c, a sum over it, is
    float32 whatever the precision of the products.

    Attributes:
        vocabulary: tokens.
        embedding: width of a token's vector.
        hidden: width of each layer's state [units].
        layers: LSTMs upon each other.
        dropout: probability that a number of the embedding or of a state is dropped in training, in
            [0, 1); None: no dropout.
        forget_bias: of b at f at the start (Jozefowicz et al. 2015: 1).
        rematerialise: compute the gates of a position again for their gradient instead of keeping
            them.
    """

    vocabulary: int
    embedding: int = 64
    hidden: int = 128
    layers: int = 1
    dropout: ArrayLike | None = None
    forget_bias: float = 1.0
    rematerialise: bool = False

    @nn.compact
    def __call__(self, tokens: Tokens, segments: Segments, train: bool) -> TokenLogits:
        table = nn.Embed(
            self.vocabulary,
            self.embedding,
            embedding_init=_uniform,
            promote_dtype=promote_to_float32,
            name='Embed_0',
        )
        x = table(tokens).astype(table.embedding.dtype)
        begins = _begins(segments)
        for layer in range(self.layers):
            x = self._dropped(x, train)
            x = self._layer(f'lstm_{layer}', x, begins)
        x = self._dropped(x, train)
        return nn.Dense(self.vocabulary, name='logits')(x)

    def _dropped(self, x, train):
        if self.dropout is None:
            return x
        return Dropout(self.dropout)(x, train)

    def _layer(self, name, x, begins):
        width = 4 * self.hidden
        kernel = self.param(f'{name}_kernel', nn.initializers.lecun_normal(), (x.shape[-1], width))
        recurrent = self.param(f'{name}_recurrent', _orthogonal, (self.hidden, width))
        bias = self.param(f'{name}_bias', _forget_gate(self.forget_bias), (width,))
        # Of all positions at once: only the recurrent product has to wait for the step before.
        inputs = x @ kernel + bias.reshape(1, 1, width)
        # Over the steps its gradient is summed in the precision that the scan is given it in.
        recurrent = upcast(recurrent)

        def update(state, step):
            h, c = state
            of_inputs, begin = step
            # What the row held before is another sequence: its state is forgotten.
            going_on = 1 - begin[:, None]
            h, c = h * going_on.astype(h.dtype), c * going_on
            gates = upcast(of_inputs) + upcast(h @ recurrent.astype(h.dtype))
            # Of all four at once, then cut: XLA for CPU takes several times as long over the other
            # way round.
            i, f, _, o = jnp.split(jax.nn.sigmoid(gates), 4, axis=-1)
            g = jnp.tanh(gates[:, 2 * self.hidden : 3 * self.hidden])
            c = f * c + i * g
            h = (o * jnp.tanh(c)).astype(h.dtype)
            return (h, c), h

        if self.rematerialise:
            # Within a scan nothing can be shared between the two computations.
            update = jax.checkpoint(update, prevent_cse=False)
        start = jnp.zeros((len(x), self.hidden), inputs.dtype)
        cells = upcast(start)
        # The scan runs along the first axis: time.
        by_time = inputs.swapaxes(0, 1), begins.swapaxes(0, 1).astype(cells.dtype)
        _, states = jax.lax.scan(update, (start, cells), by_time)
        return states.swapaxes(0, 1)


def _begins(segments):
    """1 where a segment begins, also that of the padding."""
    # No segment is -1: the first position always begins one.
    before = jnp.pad(segments, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    return segments != before


def _uniform(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype, -0.1, 0.1)


def _orthogonal(key, shape, dtype=jnp.float32):
    """Of each gate an orthogonal matrix, side by side."""
    size, width = shape
    keys = jax.random.split(key, width // size)
    square = nn.initializers.orthogonal()
    return jnp.concatenate([square(each, (size, size), dtype) for each in keys], axis=1)


def _forget_gate(value):
    """Zeros, but `value` at the second of four gates."""

    def initializer(key, shape, dtype=jnp.float32):
        (width,) = shape
        gate = jnp.arange(width) // (width // 4)
        return jnp.where(gate == 1, value, 0).astype(dtype)

    return initializer
