"""The next token of a speech with a transformer, from 0.1 to 96 million parameters."""

from typing import Literal

from lbexp.datasets.sotu import sotu
from lbexp.models.transformer import SIZES, transformer
from lbexp.precision import Precision
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload
from lbexp.workloads.language_model import language_model


def sotu_lm(
    size: Literal['0.1M', '0.4M', '1.6M', '5M', '19M', '42M', '96M'] = '0.1M',
    length: PositiveInteger = 64,
    vocabulary: PositiveInteger = 1024,
    dropout: Fraction | None = None,
    precision: Precision | None = None,
    rematerialise: bool = False,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
) -> Workload:
    """A decoder without biases, with learned positions and tied embeddings (Radford et al. 2019),
    on State of the Union addresses. `test_bits_per_byte` compares vocabularies.

    Args:
        size: parameters beside those of tokens and positions: (width, blocks, heads) of
            lbexp.models.transformer.SIZES.
        length, vocabulary, replacement, validation: as of the data set `sotu`.
        dropout, precision, rematerialise: as of the model `transformer`.
    """
    width, blocks, heads = SIZES[size]
    model = transformer(
        width, blocks, heads, dropout=dropout, precision=precision, rematerialise=rematerialise
    )
    return language_model(data=sotu(vocabulary, length, validation, replacement), model=model)
