"""Pairs of texts as pieces of words, with the marks of an encoder."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from lbexp.inputs import Input

# Ids 0 .. 4: no piece of a text.
MARKS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
PADDING, UNKNOWN, BEGIN, SEPARATOR, MASK = range(5)


def word_pieces(texts: Sequence[str], vocabulary: int) -> Any:
    """A tokenizer of the library `tokenizers`, whose vocabulary is of these texts: WordPiece (Wu et
    al. 2016, arXiv:1609.08144), lower case, without accents, as BERT has it.

    Args:
        vocabulary: pieces, with the five marks; fewer, where the texts have no more.

    Raises:
        ValueError: the library is not there.
    """
    # Its threads would warn in every process that is forked later; the texts take seconds.
    os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
    try:
        import tokenizers
    except ImportError as error:
        raise ValueError(
            'data: found no library tokenizers; allowed: pip install lbexp[text]'
        ) from error
    model = tokenizers.models.WordPiece(unk_token=MARKS[UNKNOWN])
    tokenizer = _cutting_into_words(tokenizers, model)
    # The trainer numbers pieces of one letter in an order that is another each time, and by these
    # numbers it chooses between pairs that are equally frequent: they are numbered here.
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        special_tokens=[*MARKS, *_continuing_letters(tokenizer, texts)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # Marks are special to the trainer alone: '[SEP]' in a text is text.
    model = tokenizers.models.WordPiece(tokenizer.get_vocab(), unk_token=MARKS[UNKNOWN])
    return _cutting_into_words(tokenizers, model)


def _cutting_into_words(tokenizers, model):
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _continuing_letters(tokenizer, texts):
    """'##a', ..., the letters that continue a word."""
    letters = set()
    for text in texts:
        normalized = tokenizer.normalizer.normalize_str(text)
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalized):
            letters.update(word[1:])
    return [f'##{letter}' for letter in sorted(letters)]


def names_of(tokenizer: Any) -> tuple[str, ...]:
    """The pieces by their id."""
    return tuple(str(tokenizer.id_to_token(i)) for i in range(tokenizer.get_vocab_size()))


def encoder_inputs(length: int, pieces: int, has_kinds: bool = True) -> dict[str, Input]:
    """The descriptions of rows of texts: 'tokens'; 'segments', 1 on them and 0 on padding; of pairs
    'kinds', too.

    Args:
        length: of a row [positions].
        pieces: different ones.
    """

    def ids(count):
        return Input('tokens', (length,), 'int32', vocabulary=(count,))

    inputs = {'tokens': ids(pieces)._replace(padding=PADDING), 'segments': ids(2)}
    return {**inputs, 'kinds': ids(2)} if has_kinds else inputs


def encoded_texts(tokenizer: Any, texts: Sequence[str], length: int) -> np.ndarray:
    """Rows [CLS] text [SEP], padded, int32 [texts, length]; a text that is too long loses its
    end."""
    tokens = np.full((len(texts), length), PADDING, np.int32)
    for row, text in enumerate(texts):
        ids = [BEGIN, *tokenizer.encode(text).ids[: length - 2], SEPARATOR]
        tokens[row, : len(ids)] = ids
    return tokens


def encoded_pairs(
    tokenizer: Any, pairs: Sequence[tuple[str, str]], length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows [CLS] first [SEP] second [SEP], padded: tokens and kinds, int32 [pairs, length].

    The kind of a token is 0 up to the first [SEP], 1 behind it, and 0 on padding. A pair that is
    too long loses the end of its second text; either text may be empty.

    Raises:
        ValueError: a first text that leaves no room for a second one.
    """
    tokens, kinds = np.zeros((2, len(pairs), length), np.int32)
    for row, (first, second) in enumerate(pairs):
        before = [BEGIN, *tokenizer.encode(first).ids, SEPARATOR]
        after = tokenizer.encode(second).ids
        room = length - len(before) - 1
        if room < 1:
            raise ValueError(
                f'length: found {length} with a first text of {len(before) - 2} pieces, '
                f'{first!r}; allowed: {len(before) + 2} or more'
            )
        ids = [*before, *after[:room], SEPARATOR]
        tokens[row, : len(ids)] = ids
        kinds[row, len(before) : len(ids)] = 1
    return tokens, kinds
