"""Which examples of a file are test examples, which validation examples."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lbexp.data.division import fold_places, group_fold_places, held_out_places
from lbexp.data.source import Source, memory
from lbexp.data.splits import divided, picked
from lbexp.datasets._decoded import Columns
from lbexp.datasets._labels import Labels


class Division(NamedTuple):
    """What the user says of the test set."""

    test: Any  # a share, or the name of a column
    split: str | None
    by: str | None
    fold: int | None
    folds: int

    def reserved(self, label: str) -> list[str]:
        """The columns that are no inputs."""
        return [name for name in (label, self.by, self.test) if isinstance(name, str)]


def tested(raw: Columns, labels: Labels, division: Division) -> tuple[np.ndarray, str]:
    """Which examples are for testing, and why, in words."""
    count = len(labels.values)
    is_test = np.zeros(count, bool)
    if raw.test is not None:
        return raw.test, 'as the source has it'
    classes = labels.values if labels.classes else None
    test, split, by, fold, folds = division
    if fold is not None and split == 'time':
        raise ValueError(f"fold: found {fold} with split 'time'; allowed: another split")
    if fold is not None and split == 'group':
        is_test[group_fold_places(fold, folds, _column(raw, 'by', by))] = True
        return is_test, f'fold {fold} of {folds}, by {by}'
    if fold is not None:
        is_test[fold_places(fold, folds, count, classes)] = True
        return is_test, f'fold {fold} of {folds}'
    if isinstance(test, str):
        marks = _column(raw, 'test', test).astype(np.str_)
        is_test = np.isin(np.char.lower(marks), ('true', '1', '1.0', 'test'))
        if not 0 < is_test.sum() < count:
            counts = f'{is_test.sum()} of {count} rows by column {test!r}'
            allowed = "some that are True, 1 or 'test', and some that are not"
            raise ValueError(f'test: found {counts}; allowed: {allowed}')
        return is_test, f'column {test}'
    split = split or ('random' if classes is None else 'stratified')
    values = classes
    if split in ('group', 'time'):
        if by is None:
            raise ValueError(f'by: not set with split {split!r}; allowed: a column')
        values = _column(raw, 'by', by)
    elif split == 'stratified' and classes is None:
        raise ValueError("split: found 'stratified' with a number as label; allowed: 'random'")
    is_test[held_out_places(split, float(test), count, values)] = True
    return is_test, f'{split}, {test:g} of the examples{f" by {by}" if by else ""}, fixed seed'


def rows_of_parts(
    is_test: np.ndarray, raw: Columns, division: Division, validation: int
) -> dict[str, np.ndarray]:
    """The rows of the examples of 'train', 'validation' and 'test', whichever there are.

    Args:
        is_test: bool [size], of `tested`.
        raw: the columns, of which one may say groups or times.
        validation: as in lbexp.datasets.file.
    """
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    _, split, by, fold, folds = division
    # where the makers have a test set, a fold is of the training set
    if raw.test is None:
        fold = None
    places = None
    if 0 < validation < len(train) and split in ('group', 'time') and by in raw.arrays:
        # tuned on what the test set is, too: other groups, later times
        share = validation / len(train)
        places = held_out_places(split, share, len(train), raw.arrays[by][train])
    parts = divided({'row': train}, {'row': test}, validation, False, fold, folds, places)
    rows = {}
    for name in ('train', 'validation', 'test'):
        part = parts[name]
        if part is not None:
            rows[name] = part.arrays['row']
    return rows


def parted(
    arrays: dict[str, np.ndarray], rows: Mapping[str, np.ndarray], replacement: bool
) -> dict[str, Source]:
    """The sources of a data set.

    Args:
        arrays: of all examples, [size, ...].
        rows: of `rows_of_parts`.
        replacement: draw training examples with replacement.
    """
    parts = {}
    for name, places in rows.items():
        is_drawn_again = replacement and name == 'train'
        parts[name] = memory(picked(arrays, places), is_drawn_again)
    return parts


def _column(raw, argument, name):
    if name is None:
        raise ValueError(f'{argument}: not set with a split by groups; allowed: a column')
    if name not in raw.arrays:
        raise ValueError(
            f'{argument}: found no column {name!r}; allowed: {", ".join(map(repr, raw.arrays))}'
        )
    return raw.arrays[name]
