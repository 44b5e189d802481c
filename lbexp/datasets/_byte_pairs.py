"""Long texts as rows of bytes, or of pairs of them."""

from collections.abc import Sequence

import numpy as np

from lbexp.datasets._texts import BYTE_LETTERS, END_MARK, Texts, ngram_perplexities, rows_of

_BYTES = 256


def check_vocabulary(vocabulary: int) -> None:
    """Raises ValueError where there is no token for each byte and for the end of a text."""
    if vocabulary <= _BYTES:
        raise ValueError(f'vocabulary: found {vocabulary}; allowed: {_BYTES + 1} tokens or more')


def texts_of_bytes(
    train: Sequence[str],
    test: Sequence[str],
    vocabulary: int,
    length: int,
    source: str,
    split: str,
) -> Texts:
    """Texts one after another, each with its end, cut into rows without padding. Tokens are bytes,
    and above 257 of them, pairs of tokens that are frequent in the training texts.

    Args:
        vocabulary: tokens, 257 or more.
        length: of a row [positions].
        source: where they come from, and their licence.
        split: how the test texts were chosen, in words.

    Raises:
        ValueError: more than 257 tokens without the library `tokenizers`, or too little text.
    """
    names, encode = _tokenizer(train, vocabulary)
    train_rows = rows_of(_joined(encode, train, names), length)
    test_rows = rows_of(_joined(encode, test, names), length)
    references = ngram_perplexities(train_rows, test_rows, len(names))
    return Texts(train_rows, test_rows, names, 'bytes', source, split, references)


def _joined(encode, texts, names):
    """All texts as one sequence, each with its end."""
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
