"""Pairs of texts of your own, from a table, with a class for each pair."""

import functools
import os
from typing import Literal, NamedTuple

import numpy as np

from lbexp.datasets import Dataset
from lbexp.datasets._decoded import stamp
from lbexp.datasets._division import Division, parted, rows_of_parts, tested
from lbexp.datasets._labels import counted, label_name, labels_of
from lbexp.datasets._sources import TABLES, read
from lbexp.datasets._wordpiece import (
    MARKS,
    PADDING,
    encoded_pairs,
    encoder_inputs,
    names_of,
    word_pieces,
)
from lbexp.inputs import Target
from lbexp.local_path import local_path
from lbexp.ranges import NonNegativeInteger, OpenFraction, PositiveInteger, checked


@checked
def text_pairs(
    path: str,
    first: str,
    second: str,
    label: str | None = None,
    vocabulary: PositiveInteger = 4000,
    length: PositiveInteger = 64,
    test: OpenFraction | str = 0.2,
    split: Literal['random', 'stratified', 'group', 'time'] | None = None,
    by: str | None = None,
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
) -> Dataset:
    """Rows [CLS] first [SEP] second [SEP] of pieces of words, for the model `encoder` (Devlin et
    al. 2018, arXiv:1810.04805); a second text that is too long for its row is cut.

    With two classes for `binary`, with any number for `classification`. Arrays of an example, int32
    [length]: `tokens`; `segments`, 1 on them and 0 on padding; `kinds`, 0 of the first text and 1
    of the second. The vocabulary is of all rows but those for testing. Two rows may have one text:
    split='group' by a column that says so keeps them together.

    Args:
        path: of the table: .csv, .tsv, .parquet.
        first, second: columns of texts; a missing text is an empty one.
        label: column of the classes; None: as in lbexp.datasets.file.
        vocabulary: pieces, with five marks among them.
        length: of a row [positions].
        test, split, by, validation, replacement: as in lbexp.datasets.file.

    Raises:
        ValueError: no such table or columns, columns that are no texts, one class, rows that hold
            no first text; the library `tokenizers` is not there (pip install lbexp[text]).
    """
    if vocabulary <= len(MARKS):
        raise ValueError(f'vocabulary: found {vocabulary}; allowed: more than {len(MARKS)} pieces')
    source = local_path(os.fspath(path), 'path')
    if source.suffix not in TABLES:
        raise ValueError(f'path: found {str(path)!r}; allowed: {", ".join(TABLES)}')
    division = Division(test, split, by, None, 0)
    options = _Options(first, second, label, vocabulary, length, division, validation, replacement)
    # Built many times in a run, and read once.
    return _dataset(source, str(path), stamp(source), options)


class _Options(NamedTuple):
    """The arguments of `text_pairs`, but for the path."""

    first: str
    second: str
    label: str | None
    vocabulary: int
    length: int
    division: Division
    validation: int
    replacement: bool


@functools.lru_cache(8)
def _dataset(source, shown, stamp, options):
    del stamp  # another content is another data set
    raw = read(source, None)
    name = label_name(list(raw.arrays), options.label, is_table=True)
    labels = labels_of(name, raw.arrays[name], 'class')
    is_test, how = tested(raw, labels, options.division)
    first, second = _texts(raw.arrays, options.first), _texts(raw.arrays, options.second)
    arrays, names = _rows(first, second, ~is_test, options)
    arrays['label'] = labels.values
    rows = rows_of_parts(is_test, raw, options.division, options.validation)
    columns = {}
    for column, values in ((options.first, first), (options.second, second)):
        columns[column] = {'kind': 'text', 'missing': int(np.count_nonzero(values == ''))}
    schema = {
        'source': shown,
        'examples': {name: len(places) for name, places in rows.items()},
        'test': how,
        'label': {'column': name, **counted(labels)},
        'columns': columns,
        'vocabulary': len(names),
    }
    return Dataset(
        **parted(arrays, rows, options.replacement),
        inputs=encoder_inputs(options.length, len(names)),
        target=Target('class', 'label', labels.classes),
        source=shown,
        schema=schema,
    )


def _texts(arrays, name):
    if name not in arrays:
        columns = ', '.join(map(repr, arrays))
        raise ValueError(f'first, second: found no column {name!r}; allowed: {columns}')
    if arrays[name].dtype.kind != 'U':
        raise ValueError(f'first, second: found numbers in column {name!r}; allowed: texts')
    return arrays[name]


def _rows(firsts, seconds, is_known, options):
    """Arrays of all pairs, and the pieces by their id, of the known ones alone."""
    known = [*firsts[is_known].tolist(), *seconds[is_known].tolist()]
    tokenizer = word_pieces(known, options.vocabulary)
    pairs = list(zip(firsts.tolist(), seconds.tolist(), strict=True))
    tokens, kinds = encoded_pairs(tokenizer, pairs, options.length)
    segments = (tokens != PADDING).astype(np.int32)
    return {'tokens': tokens, 'segments': segments, 'kinds': kinds}, names_of(tokenizer)
