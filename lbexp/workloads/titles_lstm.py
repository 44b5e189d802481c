"""The next word of a title with an LSTM: a language model of half a million parameters."""

from lbexp.datasets.debian_titles import debian_titles
from lbexp.models.lstm import lstm
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger
from lbexp.workloads import Workload
from lbexp.workloads.language_model import language_model


def titles_lstm(
    embedding: PositiveInteger = 64,
    hidden: PositiveInteger = 128,
    layers: PositiveInteger = 1,
    dropout: Fraction | None = 0.1,
    vocabulary: PositiveInteger = 2000,
    length: PositiveInteger = 32,
    replacement: bool = False,
    validation: NonNegativeInteger = 0,
    rematerialise: bool = False,
) -> Workload:
    """Embedding, LSTM, dropout, softmax over 2,000 words (Zaremba et al. 2014, arXiv:1409.2329, at
    a small size), on titles of Debian packages.

    What a bigram reaches is said at the start, and in schema.json. An embedding of 10 with 100
    hidden units, as tutorials have it, does not get there.

    Args:
        embedding, hidden, layers, dropout, rematerialise: as of the model `lstm`.
        vocabulary, length, replacement, validation: as of the data set `debian_titles`.
    """
    data = debian_titles(vocabulary, length, validation, replacement)
    model = lstm(embedding, hidden, layers, dropout, rematerialise)
    return language_model(data=data, model=model)
