"""Titles of Debian packages: 54,000 headlines, a language model's smallest real data."""

import functools

import duckdb
import numpy as np

from lbexp.data.packages import examples_file
from lbexp.datasets import Dataset, _words
from lbexp.datasets._texts import Texts, copied, next_token_data
from lbexp.datasets._words import FEWEST, MOST, check_sizes, title_rows, titles
from lbexp.ranges import NonNegativeInteger, PositiveInteger

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
    check_sizes(vocabulary, length)
    texts = _copied(str(examples_file('debian_titles')), vocabulary, length)
    return next_token_data(texts, validation, replacement)


@functools.lru_cache(4)
def _copied(file, vocabulary, length):
    return copied(_texts, file, vocabulary, length, [_words.__file__])


def _texts(file, vocabulary, length) -> Texts:
    shuffled = _shuffled(file)
    is_test = _held_out(shuffled)
    if all(is_test) or not any(is_test):
        raise ValueError(
            f'{file}: found {len(shuffled)} titles of {FEWEST} to {MOST} words; allowed: '
            'enough to train and to test'
        )
    train = [title for title, held_out in zip(shuffled, is_test) if not held_out]
    test = [title for title, held_out in zip(shuffled, is_test) if held_out]
    return title_rows(
        train,
        test,
        vocabulary,
        length,
        'titles of Debian packages (metadata of Debian)',
        'a tenth of the groups of titles that begin with the same three words',
    )


def _shuffled(file):
    """The titles in a random order that is always the same."""
    with duckdb.connect() as connection:
        rows = connection.read_parquet(file).project('title').fetchall()
    ordered = sorted(titles(title for (title,) in rows))
    shuffled = np.random.default_rng(_SEED).permutation(len(ordered))
    return [ordered[place] for place in shuffled]


def _held_out(shuffled):
    """[bool]: of the test set."""
    groups = sorted({title[:3] for title in shuffled})
    fold = np.random.default_rng(_SEED).integers(_FOLDS, size=len(groups))
    of_group = dict(zip(groups, fold == 0))
    return [bool(of_group[title[:3]]) for title in shuffled]
