"""Titles of Debian packages: 54,000 headlines, a language model's smallest real data."""

import collections
import functools
import re

import duckdb
import numpy as np

from lbexp.data.packages import examples_file
from lbexp.data.packing import pack
from lbexp.datasets import Dataset
from lbexp.datasets._texts import (
    BEGIN,
    END,
    MARKS,
    UNKNOWN,
    Texts,
    copied,
    next_token_data,
    ngram_perplexities,
)
from lbexp.ranges import NonNegativeInteger, PositiveInteger

_WORDS = (3, 14)  # of a title
_FOLDS = 10  # of which one is the test set
_SEED = 54013


def debian_titles(
    vocabulary: PositiveInteger = 5000,
    length: PositiveInteger = 32,
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
) -> Dataset:
    """Titles of 3 to 14 words, lower case, each once, packed into rows.

    The words are the most frequent of the training titles, and '<unknown>'. Titles that begin with
    the same three words are of one split, as they are often those of one source package: a tenth of
    these groups is the test set. `schema` has the perplexities of a unigram and of a bigram.

    Args:
        vocabulary: tokens, with four marks among them.
        length: of a row [positions].
        validation: rows of the training set held out for tuning; 0: none.
        replacement: draw training rows with replacement.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare debian_titles.
    """
    if vocabulary <= len(MARKS) or length < _WORDS[1] + 1:
        raise ValueError(
            f'vocabulary, length: found {vocabulary}, {length}; allowed: more than {len(MARKS)} '
            f'tokens, and rows of {_WORDS[1] + 1} positions or more'
        )
    texts = _copied(str(examples_file('debian_titles')), vocabulary, length)
    return next_token_data(texts, validation, replacement)


@functools.lru_cache(4)
def _copied(file, vocabulary, length):
    return copied(_texts, file, vocabulary, length)


def _texts(file, vocabulary, length) -> Texts:
    titles = _titles(file)
    is_test = _held_out(titles)
    if all(is_test) or not any(is_test):
        raise ValueError(
            f'{file}: found {len(titles)} titles of {_WORDS[0]} to {_WORDS[1]} words; allowed: '
            'enough to train and to test'
        )
    train_titles = [title for title, held_out in zip(titles, is_test) if not held_out]
    counts = collections.Counter(word for title in train_titles for word in title)
    # ties in the order of the alphabet
    frequent = sorted(counts, key=lambda word: (-counts[word], word))[: vocabulary - len(MARKS)]
    names = (*MARKS, *frequent)
    ids = {word: number for number, word in enumerate(names)}
    sequences = {False: [], True: []}
    for title, tested in zip(titles, is_test):
        words = [ids.get(word, UNKNOWN) for word in title]
        sequences[tested].append([BEGIN, *words, END])
    train, test = pack(sequences[False], length), pack(sequences[True], length)
    return Texts(
        train,
        test,
        names,
        'words',
        'titles of Debian packages (metadata of Debian)',
        'a tenth of the groups of titles that begin with the same three words',
        ngram_perplexities(train, test, len(names)),
    )


def _titles(file):
    """Lists of words, each once, in a random order that is always the same."""
    with duckdb.connect() as connection:
        rows = connection.read_parquet(file).project('title').fetchall()
    titles = {}
    for (title,) in rows:
        text = re.sub(r'[(\[{].*?[)\]}]', ' ', title.lower())
        words = re.findall(r"[a-z0-9+#.'-]*[a-z0-9+#]", text)
        if _WORDS[0] <= len(words) <= _WORDS[1]:
            titles[tuple(words)] = None
    ordered = sorted(titles)
    shuffled = np.random.default_rng(_SEED).permutation(len(ordered))
    return [ordered[place] for place in shuffled]


def _held_out(titles):
    """[bool]: of the test set."""
    groups = sorted({title[:3] for title in titles})
    fold = np.random.default_rng(_SEED).integers(_FOLDS, size=len(groups))
    of_group = dict(zip(groups, fold == 0))
    return [bool(of_group[title[:3]]) for title in titles]
