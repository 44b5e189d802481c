"""Whether a piece of clothing is recommended, from title and text, with a small BERT."""

from typing import Literal

from lbexp.datasets.clothing_reviews import clothing_reviews
from lbexp.models.encoder import encoder
from lbexp.models.transformer import SIZES
from lbexp.precision import Precision
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload
from lbexp.workloads.binary import binary


def reviews_bert(
    size: Literal['0.1M', '0.4M', '1.6M', '5M', '19M', '42M', '96M'] = '0.1M',
    label: Literal['recommended', 'rating'] = 'recommended',
    examples: PositiveInteger | None = None,
    length: PositiveInteger = 64,
    vocabulary: PositiveInteger = 4000,
    dropout: Fraction | None = 0.1,
    precision: Precision | None = None,
    rematerialise: bool = False,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
) -> Workload:
    """An encoder of [CLS] title [SEP] text [SEP] (Devlin et al. 2018, arXiv:1810.04805) on reviews
    of clothing: log loss, AUC, accuracy.

    Trained on many labels of less quality ('rating') or on few good ones ('recommended' with
    `examples`), it is tested on the good ones. The parameters under `trunk/` are those that
    `reviews_mlm` trains without labels.

    Args:
        size: parameters beside those of tokens and positions: (width, blocks, heads) of
            lbexp.models.transformer.SIZES.
        examples: that are trained on, `size` of the data set; None: all.
        label, length, vocabulary, replacement, validation: as of the data set `clothing_reviews`.
        dropout, precision, rematerialise: as of the model `encoder`.
    """
    width, blocks, heads = SIZES[size]
    model = encoder(
        width, blocks, heads, dropout=dropout, precision=precision, rematerialise=rematerialise
    )
    data = clothing_reviews(label, examples, vocabulary, length, validation, replacement)
    return binary(data=data, model=model)
