"""Hidden pieces of words in reviews, with a small BERT: pretraining without labels."""

from typing import Literal

from lbexp.datasets.clothing_reviews import clothing_reviews
from lbexp.models.encoder import encoder
from lbexp.models.transformer import SIZES
from lbexp.precision import Precision
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload
from lbexp.workloads.masked_language_model import masked_language_model


def reviews_mlm(
    size: Literal['0.1M', '0.4M', '1.6M', '5M', '19M', '42M', '96M'] = '0.1M',
    rate: Fraction = 0.15,
    length: PositiveInteger = 64,
    vocabulary: PositiveInteger = 4000,
    dropout: Fraction | None = None,
    precision: Precision | None = None,
    rematerialise: bool = False,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
) -> Workload:
    """A masked language model (Devlin et al. 2018, arXiv:1810.04805) on reviews of clothing, the
    trunk of which `reviews_bert` can begin with. What a unigram and a bigram reach is said at the
    start.

    Args:
        size: parameters beside those of tokens and positions: (width, blocks, heads) of
            lbexp.models.transformer.SIZES.
        rate: share of the tokens that are hidden, in (0, 1).
        length, vocabulary, replacement, validation: as of the data set `clothing_reviews`.
        dropout, precision, rematerialise: as of the model `encoder`.
    """
    width, blocks, heads = SIZES[size]
    model = encoder(
        width, blocks, heads, dropout=dropout, precision=precision, rematerialise=rematerialise
    )
    data = clothing_reviews('tokens', None, vocabulary, length, validation, replacement)
    return masked_language_model(data=data, model=model, rate=rate)
