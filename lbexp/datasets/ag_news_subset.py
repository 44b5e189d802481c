"""AG's news: titles of 120,000 articles, for models of the next word."""

import csv
import functools
import io
import pathlib

from lbexp.datasets import Dataset
from lbexp.datasets._originals import content, first_file, missing
from lbexp.datasets._sources import stamp
from lbexp.datasets._texts import Texts, next_token_data
from lbexp.datasets._words import check_sizes, title_rows, titles
from lbexp.local_path import local_path
from lbexp.ranges import NonNegativeInteger, PositiveInteger

_SOURCE = 'AG news, as Zhang et al. 2015, arXiv:1509.01626, divide it'


def ag_news_subset(
    path: str,
    vocabulary: PositiveInteger = 5000,
    length: PositiveInteger = 32,
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
) -> Dataset:
    """Titles of 3 to 14 words, lower case, each once, packed into rows as those of `debian_titles`.

    The test titles are those of test.csv that no training title equals. `schema` has the
    perplexities of a unigram and of a bigram.

    Args:
        path: folder of train.csv and test.csv: class, title and description, without a header.
        vocabulary, length, validation, replacement: as in debian_titles.

    Raises:
        ValueError: the files are not there, or are other tables.
    """
    check_sizes(vocabulary, length)
    folder = local_path(path, 'path')
    texts = _texts(folder, stamp(folder), vocabulary, length)
    return next_token_data(texts, validation, replacement)


@functools.lru_cache(4)
def _texts(folder: pathlib.Path, stamp, vocabulary, length) -> Texts:
    parts = []
    for name in ('train.csv', 'test.csv'):
        file = first_file(folder, [name])
        if file is None:
            raise missing(folder, name, 'train.csv', 'test.csv')
        parts.append(titles(_column(file)))
    train, test = parts
    known = set(train)
    test = [title for title in test if title not in known]
    if not train or not test:
        counts = f'{len(train)} titles to train and {len(test)} others to test'
        raise ValueError(f'{folder}: found {counts}; allowed: some of 3 to 14 words each')
    split = 'test.csv, without titles of train.csv'
    return title_rows(train, test, vocabulary, length, _SOURCE, split)


def _column(file):
    """The titles of a table."""
    lines = csv.reader(io.StringIO(content(file).decode(errors='replace'), newline=''))
    column = []
    for number, row in enumerate(lines, 1):
        if len(row) != 3:
            rule = 'allowed: class, title, description'
            raise ValueError(f'{file}: found {len(row)} columns in row {number}; {rule}')
        column.append(row[1])
    return column
