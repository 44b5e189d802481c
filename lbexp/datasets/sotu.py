"""State of the Union addresses, 1790 to today: ten million letters for a language model."""

import functools

import duckdb
import numpy as np

from lbexp.data.packages import examples_file
from lbexp.datasets import Dataset
from lbexp.datasets._texts import (
    BYTE_LETTERS,
    END_MARK,
    Texts,
    copied,
    next_token_data,
    ngram_perplexities,
    rows_of,
)
from lbexp.ranges import NonNegativeInteger, PositiveInteger

_EVERY = 20  # of which address one is held out
_BYTES = 256


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
    if vocabulary <= _BYTES:
        raise ValueError(f'vocabulary: found {vocabulary}; allowed: {_BYTES + 1} tokens or more')
    texts = _copied(str(examples_file('sotu')), vocabulary, length)
    return next_token_data(texts, validation, replacement)


@functools.lru_cache(4)
def _copied(file, vocabulary, length):
    return copied(_texts, file, vocabulary, length)


def _texts(file, vocabulary, length) -> Texts:
    with duckdb.connect() as connection:
        rows = connection.read_parquet(file).order('name').project('text').fetchall()
    addresses = [text for (text,) in rows]
    parts = [[], []]
    for place, address in enumerate(addresses):
        parts[place % _EVERY == _EVERY - 1].append(address)
    names, encode = _tokenizer(parts[0], vocabulary)
    train, test = (rows_of(_joined(encode, texts, names), length) for texts in parts)
    return Texts(
        train,
        test,
        names,
        'bytes',
        'State of the Union addresses (public domain)',
        f'every {_EVERY}th address',
        ngram_perplexities(train, test, len(names)),
    )


def _joined(encode, texts, names):
    """All addresses as one sequence, each with its end."""
    end = [names.index(END_MARK)]
    return np.concatenate([[*encode(text), *end] for text in texts])


def _tokenizer(texts, vocabulary):
    """Names of the tokens by id, and text -> ids."""
    if vocabulary == _BYTES + 1:
        letters = [BYTE_LETTERS[byte] for byte in range(_BYTES)]
        return (*letters, END_MARK), lambda text: text.encode()
    try:
        import tokenizers
    except ImportError as error:
        raise ValueError(
            f'vocabulary: found {vocabulary}, which needs the library tokenizers (pip install '
            f'lbexp[text]); allowed without it: {_BYTES + 1}, bytes'
        ) from error
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_MARK],
        initial_alphabet=sorted(BYTE_LETTERS.values()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    names = [str(tokenizer.id_to_token(i)) for i in range(tokenizer.get_vocab_size())]
    return tuple(names), lambda text: tokenizer.encode(text).ids
