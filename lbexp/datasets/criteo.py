"""Criteo's log of a week of advertisements: which one is clicked on?"""

import functools
import math
import pathlib
from typing import Any, Literal, NamedTuple

import numpy as np

from lbexp.data.division import fold_places
from lbexp.data.source import memory
from lbexp.datasets import Dataset
from lbexp.datasets._click_log import Layout, clicks, frequent, rows
from lbexp.datasets._columns import (
    categorical_input,
    interval_column,
    quantile_limits,
    standardised,
)
from lbexp.datasets._decoded import Columns, cached, stamp
from lbexp.datasets._originals import first_file
from lbexp.inputs import Input, Target
from lbexp.local_path import local_path
from lbexp.ranges import PositiveInteger, checked

_NUMBERS = tuple(f'I{number}' for number in range(1, 14))
_CATEGORIES = tuple(f'C{number}' for number in range(1, 27))
_LAYOUT = Layout('label', _NUMBERS, _CATEGORIES)
_FILES = ('train.txt', 'dac_sample.txt')
_PARTS = ('train', 'validation', 'test')
_FEWEST = 20  # rows
_SEED = 20054  # one choice for ever


@checked
def criteo(
    path: str,
    split: Literal['random', 'time'] = 'random',
    bins: PositiveInteger | Literal['log_squared'] | None = 'log_squared',
    rare: PositiveInteger = 10,
    examples: PositiveInteger | None = None,
    replacement: bool = False,
) -> Dataset:
    """45,840,617 impressions of seven days (Display Advertising Challenge, Criteo and Kaggle 2014;
    clicks and others subsampled), or some of them; the label is `label`, 1 a click. `criteo` of
    TensorFlow Datasets is another one, of uplift.

    13 numbers, I1 to I13, and 26 categories, C1 to C26, are the inputs, whose meaning is not
    published. The file is read in pieces, three times; what it becomes is kept in the user's cache
    folder. An example takes 160 bytes, 7 GB in all, and about twice as much while it is made.

    Args:
        path: folder of train.txt, or train.txt.gz, as it comes from https://ailab.criteo.com
            (dac.tar.gz): lines of label, 13 integers and 26 texts, separated by tabs, in the order
            of time, a missing value empty. dac_sample.txt, a sample, has the same layout.
        split: 'random': 8 : 1 : 1 to train, validate and test, with the same share of clicks (Song
            et al. 2019, arXiv:1810.11921; Criteo_x4 of BARS, whose choice is another one). 'time':
            the last seventh of the rows, about a day, halved at random to validate and test (Wang
            et al. 2017, arXiv:1708.05123, section 4.1).
        bins: intervals that numbers become. 'log_squared': of floor(log(x)^2) where x > 2, else of
            one number each, as the winners of 2014 had them (Juan et al. 2016,
            doi:10.1145/2959100.2959134). An integer: that many by quantiles of the training rows.
            None: numbers stay numbers, standardised, and a missing one is the mean.
        rare: a category of fewer training rows than this is one with the other rare ones, with
            those that only other rows have, and with missing ones: id 0. BARS has 10, or 2.
        examples: rows that are used, a random choice of all that is always the same, before they
            are split; None: all.
        replacement: draw training examples with replacement.

    Raises:
        ValueError: the file is not there, or is another one; or it has too few rows.
    """
    folder = local_path(path, 'path')
    file = first_file(folder, _FILES)
    if file is None:
        raise ValueError(
            f'path: found no {_FILES[0]} in {str(folder)!r}; allowed: the folder of it, unpacked '
            'from dac.tar.gz of the Display Advertising Challenge (https://ailab.criteo.com)'
        )
    options = _Options(split, bins, rare, examples)
    # Built many times in a run, and read once.
    arrays, inputs, schema = _dataset(file, stamp(file), options)
    return Dataset(
        train=memory(arrays['train'], replacement),
        validation=memory(arrays['validation']),
        test=memory(arrays['test']),
        inputs=inputs,
        target=Target('class', 'label', ('0', '1')),
        source='Criteo, Display Advertising Challenge',
        schema=schema,
    )


class _Options(NamedTuple):
    """The arguments of `criteo` that arrays depend on, but for the path."""

    split: str
    bins: Any
    rare: int
    examples: int | None


@functools.lru_cache(2)
def _dataset(file, stamp, options):
    """(arrays of each part, inputs, schema)."""
    del stamp  # another content is another data set
    log = _log(file, options._replace(bins=None))
    known = {name: tuple(log[f'known_{name}'].tolist()) for name in _CATEGORIES}
    if options.bins is None:
        arrays, inputs = _numeric(log, known)
    else:
        arrays, inputs = _in_intervals(log, known, options.bins)
    columns = {}
    for name, missing in zip((*_NUMBERS, *_CATEGORIES), log['missing'].tolist(), strict=True):
        is_number = name in _NUMBERS and options.bins is None
        columns[name] = {'kind': 'numeric' if is_number else 'categorical', 'missing': missing}
    described = inputs['categorical']
    for name, vocabulary in zip(described.columns, described.vocabulary, strict=True):
        columns[name]['distinct'] = vocabulary - 1  # but for id 0
    labels = np.concatenate([arrays[part]['label'] for part in _PARTS])
    counts = np.bincount(labels, minlength=2).tolist()
    schema = {
        'source': 'criteo',
        'examples': {part: len(arrays[part]['label']) for part in _PARTS},
        'test': 'a tenth, stratified' if options.split == 'random' else 'half of the last seventh',
        'label': {'column': 'label', 'kind': 'class', 'classes': dict(zip('01', counts))},
        'columns': columns,
    }
    return arrays, inputs, schema


def _log(file: pathlib.Path, options: _Options) -> dict[str, np.ndarray]:
    """Arrays of `rows`, 'PART_label', and 'known_NAME' of each column of categories."""

    def read():
        labels = clicks(file, _LAYOUT)
        parts = _divided(file, labels, options.split, options.examples)
        known = frequent(file, _LAYOUT, parts['train'], options.rare)
        arrays = rows(file, _LAYOUT, parts, known)
        for part, is_of_part in parts.items():
            arrays[f'{part}_label'] = labels[is_of_part].astype(np.int32)
        for name, texts in known.items():
            arrays[f'known_{name}'] = texts
        return Columns(arrays, None)

    # a digest of 11 GB would take as long as reading them
    return cached(f'criteo {stamp(file.resolve())} {options}', read).arrays


def _divided(file, labels, split, examples):
    """Which rows are of each part, bool [rows]."""
    count = len(labels)
    generator = np.random.default_rng(_SEED)
    if not _FEWEST <= (examples or count) <= count:
        raise ValueError(
            f'{file}: found {count} rows and examples={examples}; allowed: {_FEWEST} or more, and '
            'no more than there are'
        )
    used = np.arange(count)
    if examples is not None:
        used = np.sort(generator.permutation(count)[:examples])
    if split == 'random':
        test, validation = (fold_places(fold, 10, len(used), labels[used]) for fold in range(2))
    else:
        first = round(len(used) * 6 / 7)
        of_last_day = generator.permutation(np.arange(first, len(used)))
        validation, test = np.array_split(of_last_day, 2)
    parts = {name: np.zeros(count, bool) for name in _PARTS}
    parts['train'][used] = True
    for name, places in (('validation', validation), ('test', test)):
        parts[name][used[places]] = True
        parts['train'][used[places]] = False
    return parts


def _numeric(log, known):
    """Numbers as they are."""
    arrays, columns = {}, {}
    has_numbers = np.isfinite(log['train_numeric']).any(axis=0)
    if not has_numbers.all():
        name = _NUMBERS[np.flatnonzero(~has_numbers)[0]]
        raise ValueError(
            f'bins: found None, and no number in the training rows of {name}; allowed: intervals, '
            'or more rows'
        )
    for part in _PARTS:
        names = ('numeric', 'categorical', 'label')
        arrays[part] = {name: log[f'{part}_{name}'] for name in names}
    for column, name in enumerate(_CATEGORIES):
        columns[name] = (arrays['train']['categorical'][:, column], known[name], ())
    has_missing = any(np.isnan(arrays[part]['numeric']).any() for part in _PARTS)
    numbers = Input(
        'numeric', (len(_NUMBERS),), 'float32', columns=_NUMBERS, has_missing=has_missing
    )
    inputs = {'numeric': numbers, 'categorical': categorical_input(columns)}
    return arrays, standardised(inputs, arrays['train'])


def _in_intervals(log, known, bins):
    """Numbers as categories, before the others."""
    arrays, columns = {}, {}
    limits = [_limits(log['train_numeric'][:, column], bins) for column in range(len(_NUMBERS))]
    for part in _PARTS:
        numbers, categories = log[f'{part}_numeric'], log[f'{part}_categorical']
        ids = np.empty((len(numbers), len(_NUMBERS) + len(_CATEGORIES)), np.int32)
        for column, name in enumerate(_NUMBERS):
            columns[name] = interval_column(numbers[:, column], limits[column])
            ids[:, column] = columns[name][0]
        ids[:, len(_NUMBERS) :] = categories
        arrays[part] = {'categorical': ids, 'label': log[f'{part}_label']}
    for name in _CATEGORIES:
        columns[name] = (log['train_categorical'], known[name], ())
    return arrays, {'categorical': categorical_input(columns)}


def _limits(numbers, bins):
    """Of the intervals of a column, by its training rows."""
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return (0.0, math.inf)
    if bins == 'log_squared':
        return _squared_logarithms(float(known.min()), float(known.max()))
    return quantile_limits(known, bins)


def _squared_logarithms(least, largest):
    """Each integer up to 2, then where floor(log(x)^2) of an integer x becomes another number."""
    ones = np.arange(min(least, 2), 4)  # floor(log(3)^2) = 1
    steps = np.arange(2, max(math.floor(math.log(max(largest, 1)) ** 2), 1) + 1)
    return (*ones.tolist(), *np.exp(np.sqrt(steps)).tolist(), math.inf)
