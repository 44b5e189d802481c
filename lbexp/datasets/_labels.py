"""Which column is the label, and whether it is a class or a number."""

from typing import Any, NamedTuple

import numpy as np

_USUAL = ('label', 'labels', 'target', 'class', 'y')
_MOST_CLASSES = 100  # integers of more values are numbers, where nobody says otherwise


class Labels(NamedTuple):
    """The labels of all examples."""

    values: np.ndarray  # int32 ids of classes, or float32 numbers
    classes: tuple[str, ...]  # by id; (): they are numbers


def label_name(names: list[str], label: str | None, is_table: bool) -> str:
    """The column of this name; None: of a usual name, else the last one of a table.

    Raises:
        ValueError: there is none.
    """
    if label is not None and label not in names:
        raise ValueError(f'label: found no column {label!r}; allowed: {_few(names)}')
    if label is not None:
        return label
    for usual in _USUAL:
        if usual in names:
            return usual
    if not is_table:
        raise ValueError(f'label: not set, and none of {_few(names)} is called {", ".join(_USUAL)}')
    return names[-1]


def labels_of(name: str, values: np.ndarray, target: str | None) -> Labels:
    """Ids of classes or numbers.

    Args:
        target: 'class', 'number'; None: texts, True/False and integers of at most 100 values are
            classes.

    Raises:
        ValueError: missing labels, texts as numbers, several labels for an example, or one class.
    """
    where = f'label {name!r}'
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(f'{where}: found shape {values.shape}; allowed: one for each example')
    kind = values.dtype.kind
    missing = np.count_nonzero(values == '' if kind == 'U' else np.isnan(values.astype(float)))
    if missing:
        raise ValueError(f'{where}: found {missing} missing of {len(values)}; allowed: none')
    distinct = np.unique(values)
    few = kind in 'iu' and len(distinct) <= _MOST_CLASSES
    if target is None:
        target = 'class' if kind in 'Ub' or few else 'number'
    if target == 'number':
        if kind == 'U':
            raise ValueError(f'{where}: found texts ({str(distinct[0])!r}, ...); allowed: numbers')
        if not np.isfinite(values.astype(np.float64)).all():
            raise ValueError(f'{where}: found infinity; allowed: numbers')
        return Labels(values.astype(np.float32), ())
    if len(distinct) < 2:
        raise ValueError(f'{where}: found one class, {distinct[0]}; allowed: two or more')
    ids = np.searchsorted(distinct, values).astype(np.int32)
    return Labels(ids, tuple(map(str, distinct.tolist())))


def counted(labels: Labels) -> dict[str, Any]:
    """What labels are, plain: how many of each class, or between which numbers."""
    if not labels.classes:
        values = labels.values
        return {'kind': 'number', 'least': float(values.min()), 'largest': float(values.max())}
    counts = np.bincount(labels.values, minlength=len(labels.classes)).tolist()
    return {'kind': 'class', 'classes': dict(zip(labels.classes, counts))}


def _few(names):
    shown = ', '.join(map(repr, names[:12]))
    return f'{shown}, ...' if len(names) > 12 else shown
