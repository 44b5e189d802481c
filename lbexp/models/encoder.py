"""A transformer that reads both sides: of a text, or of a pair."""

import flax.linen as nn
import jax.numpy as jnp

from lbexp.models import Model
from lbexp.models._linen import sequence_network
from lbexp.models.transformer import Transformer
from lbexp.precision import Precision
from lbexp.ranges import Fraction, PositiveInteger, checked
from lbexp.shapes import Outputs, PlaceLogits, PlacesInRows, Segments, Tokens


@checked
def encoder(
    width: PositiveInteger = 64,
    blocks: PositiveInteger = 2,
    heads: PositiveInteger = 2,
    perceptron: PositiveInteger | None = None,
    dropout: Fraction | None = None,
    precision: Precision | None = None,
    rematerialise: bool = False,
) -> Model:
    """Attention to both sides (Devlin et al. 2018, arXiv:1810.04805), normalized before each part;
    outputs of the first position, or of the places where tokens are hidden.

    Which, the inputs say: rows with `places` ask for a logit of each token at these places, others
    for the numbers of an example. The parameters under `trunk` are the same, so a classifier can
    begin with those of a masked language model.

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
        trunk = Transformer(
            _count(inputs, 'tokens'),
            width,
            blocks,
            heads,
            perceptron,
            positions=length,
            causal=False,
            types=_count(inputs, 'kinds'),
            dropout=dropout,
            dtype=precision,
            rematerialise=rematerialise,
        )
        module = TokensAtPlaces(trunk) if 'places' in inputs else FirstPosition(trunk, outputs)
        return sequence_network('encoder', module, inputs, ('kinds', 'places'))

    return Model(network, precision=precision)


def _count(inputs, name):
    """Ids of an array; 0: there is none."""
    if name not in inputs or not inputs[name].vocabulary:
        return 0
    return inputs[name].vocabulary[0]


class FirstPosition(nn.Module):
    """W tanh(P h + p) + b, where h is the trunk's vector of the first position, that of [CLS].

    Attributes:
        trunk: without causality.
        outputs: numbers for each example.
    """

    trunk: Transformer
    outputs: int

    @nn.compact
    def __call__(
        self, tokens: Tokens, segments: Segments, train: bool, kinds: Segments | None = None
    ) -> Outputs:
        """Of each example."""
        features = self.trunk.features(tokens, segments, train, kinds)
        # In the precision of the parameters: that of the trunk may be lower.
        first = features[:, 0].astype(self.trunk.embedding.dtype)
        pooled = jnp.tanh(nn.Dense(self.trunk.width, name='pooler')(first))
        return nn.Dense(self.outputs, name='head')(pooled)


class TokensAtPlaces(nn.Module):
    """E h + b, the logits of the tokens at some places, with the embedding E itself.

    Attributes:
        trunk: without causality.
    """

    trunk: Transformer

    @nn.compact
    def __call__(
        self,
        tokens: Tokens,
        segments: Segments,
        train: bool,
        places: PlacesInRows,
        kinds: Segments | None = None,
    ) -> PlaceLogits:
        """Of the places of each row."""
        features = self.trunk.features(tokens, segments, train, kinds)
        at_places = jnp.take_along_axis(features, places[..., None], axis=1)
        bias = self.param('bias', nn.initializers.zeros, (self.trunk.vocabulary,))
        return self.trunk.logits(at_places) + bias.reshape(1, 1, -1)
