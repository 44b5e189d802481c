"""State of the Union addresses, 1790 to today: ten million letters for a language model."""

import functools

import duckdb

from lbexp.data.packages import examples_file
from lbexp.datasets import Dataset, _byte_pairs
from lbexp.datasets._byte_pairs import check_vocabulary, texts_of_bytes
from lbexp.datasets._texts import Texts, copied, next_token_data
from lbexp.ranges import NonNegativeInteger, PositiveInteger

_EVERY = 20  # of which address one is held out


def sotu(
    vocabulary: PositiveInteger = 1024,
    length: PositiveInteger = 64,
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
) -> Dataset:
    """The addresses as rows of tokens, without padding; every twentieth address is of the test set.

    Tokens are bytes, and above 257 of them, pairs of tokens that are frequent in the training
    addresses (byte-level BPE: Sennrich et al. 2016, arXiv:1508.07909; it needs the library
    `tokenizers`: pip install lbexp[text]).

    Args:
        vocabulary: tokens: 257 (256 bytes and the end of an address) or more.
        length: of a row [positions].
        validation: rows of the training set held out for tuning; 0: none.
        replacement: draw training rows with replacement.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare sotu; or `tokenizers` is not there.
    """
    check_vocabulary(vocabulary)
    texts = _copied(str(examples_file('sotu')), vocabulary, length)
    return next_token_data(texts, validation, replacement)


@functools.lru_cache(4)
def _copied(file, vocabulary, length):
    return copied(_texts, file, vocabulary, length, [_byte_pairs.__file__])


def _texts(file, vocabulary, length) -> Texts:
    with duckdb.connect() as connection:
        rows = connection.read_parquet(file).order('name').project('text').fetchall()
    addresses = [text for (text,) in rows]
    parts = [[], []]
    for place, address in enumerate(addresses):
        parts[place % _EVERY == _EVERY - 1].append(address)
    source = 'State of the Union addresses (public domain)'
    train, test = parts
    return texts_of_bytes(train, test, vocabulary, length, source, f'every {_EVERY}th address')
