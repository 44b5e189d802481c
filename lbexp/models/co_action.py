"""Co-action of columns: one column's vector is a small network, which another's passes through."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from lbexp.models import Model
from lbexp.models._fields import Perceptron, field_vectors, flat
from lbexp.models._linen import table_network
from lbexp.models._rows import read_rows
from lbexp.models._widths import check_widths
from lbexp.ranges import PositiveInteger, checked
from lbexp.shapes import FlatFields, Ids


@checked
def co_action(
    pairs: Sequence[tuple[str, str]],
    hidden: Sequence[PositiveInteger] = (64, 64),
    embedding: PositiveInteger = 10,
    widths: Sequence[PositiveInteger] = (16, 8, 4),
    powers: PositiveInteger = 3,
) -> Model:
    """A perceptron on the vectors of the columns and on the co-action of pairs of them (Zhou et al.
    2022, CAN, arXiv:2011.05625, section 3).

    Of a pair (network, input), the network's id has a vector of its own that is cut into matrices
    W_1 [16, 8], W_2 [8, 4]; the input's id has one of 16 numbers, h_0. h_i = tanh(h_{i-1} W_i), and
    the outputs of every layer are taken; likewise of h_0 raised elementwise to the powers 2, 3 with
    the same matrices.

    Args:
        pairs: names of categorical columns: (the network, what passes through it).
        hidden: widths of the perceptron's layers [units].
        embedding: width of a column's vector beside those of pairs [units].
        widths: of the layers that pass, the input's first [units].
        powers: highest power of the input, from 1.

    Raises:
        ValueError: no pair, one of columns that are not there or are no categories, or no layer.
    """
    if not pairs or len(widths) < 2:
        raise ValueError(
            f'pairs, widths: found {len(pairs)} pairs, {len(widths)} widths; allowed: one pair or '
            'more, two widths or more'
        )
    check_widths('hidden', hidden)
    check_widths('widths', widths)

    def network(inputs, outputs):
        vectors = field_vectors('co_action', inputs, embedding)
        places, vocabularies = _places(inputs, pairs)
        module = _CoAction(
            vectors, places, vocabularies, tuple(hidden), tuple(widths), powers, outputs
        )
        return table_network(module, inputs)

    return Model(network)


def _places(inputs, pairs):
    """Of each pair, the places of its columns and their numbers of ids."""
    described = inputs.get('categorical')
    columns = described.columns if described is not None else ()
    places, vocabularies = [], []
    for pair in pairs:
        for name in pair:
            if name not in columns:
                shown = ', '.join(map(repr, columns)) or 'none'
                raise ValueError(f'pairs: found {name!r}; allowed: categorical columns, {shown}')
        place = tuple(map(columns.index, pair))
        places.append(place)
        vocabularies.append(tuple(described.vocabulary[i] for i in place))
    return tuple(places), tuple(vocabularies)


class CoAction(nn.Module):
    """Ids of two columns -> outputs of every layer, for every power, see `co_action`.

    Attributes:
        vocabularies: numbers of ids of the two columns.
        widths: of the layers, the input's first.
        powers: highest power of the input.
    """

    vocabularies: tuple[int, int]
    widths: tuple[int, ...]
    powers: int

    @nn.compact
    def __call__(self, network_ids: Ids, input_ids: Ids) -> FlatFields:
        shapes = list(zip(self.widths, self.widths[1:]))
        sizes = [rows * columns for rows, columns in shapes]
        normal = nn.initializers.normal(0.1)
        networks, inputs = self.vocabularies
        # An id's vector is all its matrices, one after another.
        of_network = read_rows(self.param('networks', normal, (networks, sum(sizes))), network_ids)
        vector = read_rows(self.param('inputs', normal, (inputs, self.widths[0])), input_ids)
        outputs = []
        for power in range(1, self.powers + 1):
            # The powers share the matrices: only what passes through them differs.
            h, first = vector**power, 0
            for (rows, columns), size in zip(shapes, sizes):
                matrix = of_network[:, first : first + size].reshape(-1, rows, columns)
                h = jnp.tanh(jnp.einsum('ni,nij->nj', h, matrix))
                outputs.append(h)
                first += size
        return jnp.concatenate(outputs, axis=-1)


class _CoAction(nn.Module):
    vectors: nn.Module
    places: tuple[tuple[int, int], ...]
    vocabularies: tuple[tuple[int, int], ...]
    hidden: tuple[int, ...]
    widths: tuple[int, ...]
    powers: int
    outputs: int

    @nn.compact
    def __call__(self, arrays, train):
        features = [flat(self.vectors(arrays))]
        ids = arrays['categorical']
        for (network, passing), sizes in zip(self.places, self.vocabularies):
            pair = CoAction(sizes, self.widths, self.powers)
            features.append(pair(ids[:, network], ids[:, passing]))
        h = Perceptron(self.hidden)(jnp.concatenate(features, axis=-1))
        return nn.Dense(self.outputs, name='logits')(h)
