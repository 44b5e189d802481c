"""AG's news: 120,000 articles of four classes; their titles, for models of the next word."""

import csv
import functools
import io
import pathlib
from typing import Literal

from lbexp.datasets import Dataset
from lbexp.datasets._decoded import stamp
from lbexp.datasets._labelled_texts import (
    LabelledTexts,
    TextOptions,
    check_vocabulary,
    classified_texts,
)
from lbexp.datasets._originals import content, first_file, missing
from lbexp.datasets._texts import Texts, next_token_data
from lbexp.datasets._words import check_sizes, title_rows, titles
from lbexp.local_path import local_path
from lbexp.ranges import NonNegativeInteger, PositiveInteger, checked

_SOURCE = 'AG news, as Zhang et al. 2015, arXiv:1509.01626, divide it'
_CLASSES = ('World', 'Sports', 'Business', 'Sci/Tech')  # 1 to 4 in the files


@checked
def ag_news_subset(
    path: str,
    vocabulary: PositiveInteger = 5000,
    length: PositiveInteger = 32,
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    label: Literal['tokens', 'class'] = 'tokens',
) -> Dataset:
    """Titles of 3 to 14 words, lower case, each once, packed into rows as those of `debian_titles`;
    or articles with their class.

    The test titles are those of test.csv that no training title equals. `schema` has the
    perplexities of a unigram and of a bigram. With label 'class', for `classification`, an example
    is an article as `encoder` takes it, [CLS] title [SEP] description [SEP] of pieces of words
    (pip install lbexp[text]), and those of test.csv are the test set.

    Args:
        path: folder of train.csv and test.csv: class, title and description, without a header.
        vocabulary, length, validation, replacement: as in debian_titles; of articles a length of
            64 cuts few.
        label: 'tokens': the next word of titles; 'class': world, sports, business, science and
            technology.

    Raises:
        ValueError: the files are not there, or are other tables.
    """
    folder = local_path(path, 'path')
    if label == 'class':
        check_vocabulary(vocabulary)
        options = TextOptions(vocabulary, length, validation, replacement)
        return _articles(folder, stamp(folder), options)
    check_sizes(vocabulary, length)
    texts = _texts(folder, stamp(folder), vocabulary, length)
    return next_token_data(texts, validation, replacement)


@functools.lru_cache(4)
def _articles(folder: pathlib.Path, stamp, options) -> Dataset:
    parts = []
    for rows in _tables(folder):
        labels, *texts = zip(*rows)
        parts.append(LabelledTexts(tuple(texts), [int(label) - 1 for label in labels]))
    train, test = parts
    columns = ('title', 'description')
    return classified_texts(train, test, columns, _CLASSES, _SOURCE, str(stamp), options)


@functools.lru_cache(4)
def _texts(folder: pathlib.Path, stamp, vocabulary, length) -> Texts:
    train, test = (titles(title for _, title, _ in rows) for rows in _tables(folder))
    known = set(train)
    test = [title for title in test if title not in known]
    if not train or not test:
        counts = f'{len(train)} titles to train and {len(test)} others to test'
        raise ValueError(f'{folder}: found {counts}; allowed: some of 3 to 14 words each')
    split = 'test.csv, without titles of train.csv'
    return title_rows(train, test, vocabulary, length, _SOURCE, split)


def _tables(folder):
    """Rows of (class, title, description) of train.csv and of test.csv."""
    tables = []
    for name in ('train.csv', 'test.csv'):
        file = first_file(folder, [name])
        if file is None:
            raise missing(folder, name, 'train.csv', 'test.csv')
        tables.append(_rows(file))
    return tables


def _rows(file):
    lines = csv.reader(io.StringIO(content(file).decode(errors='replace'), newline=''))
    rows = []
    for number, row in enumerate(lines, 1):
        if len(row) != 3:
            rule = 'allowed: class, title, description'
            raise ValueError(f'{file}: found {len(row)} columns in row {number}; {rule}')
        if row[0] not in ('1', '2', '3', '4'):
            raise ValueError(f'{file}: found class {row[0]!r} in row {number}; allowed: 1 .. 4')
        rows.append(row)
    return rows
