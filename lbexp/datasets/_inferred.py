"""Columns as a data set whose types, classes and test rows are told by their content."""

from typing import Any, NamedTuple

import numpy as np

from lbexp.data.splits import picked
from lbexp.datasets._columns import (
    Choice,
    described,
    encoded_arrays,
    encoded_table,
    input_names,
    standardised,
)
from lbexp.datasets._decoded import Columns
from lbexp.datasets._division import Division, rows_of_parts, tested
from lbexp.datasets._folds import Encoded
from lbexp.datasets._labels import Labels, counted, label_name, labels_of
from lbexp.inputs import Target

_FEWEST = 10  # examples


class Options(NamedTuple):
    """The arguments of lbexp.datasets.file, but for path and augmentation."""

    label: str | None
    target: str | None
    choice: Choice
    division: Division
    validation: int
    replacement: bool
    size: Any


def encoded_columns(raw: Columns, is_table: bool, shown: str, options: Options) -> Encoded:
    """All examples as a model is given them, and which are whose.

    Args:
        is_table: each column is one number or text for each example.
        shown: where they come from.

    Raises:
        ValueError: they are not what is asked for.
    """
    name = label_name(list(raw.arrays), options.label, is_table)
    labels = labels_of(name, raw.arrays[name], options.target)
    if len(labels.values) < _FEWEST:
        count = f'{len(labels.values)} examples'
        raise ValueError(f'{shown}: found {count}; allowed: {_FEWEST} or more')
    is_test, how = tested(raw, labels, options.division)
    names = input_names(list(raw.arrays), options.choice, options.division.reserved(name))
    encode = encoded_table if is_table else encoded_arrays
    arrays, inputs = encode(raw.arrays, names, options.choice, ~is_test)
    stored = name if name not in inputs else f'{name}_label'
    arrays[stored] = labels.values
    rows = rows_of_parts(is_test, raw, options.division, options.validation)
    trained = picked(arrays, rows['train'])
    schema = {
        'source': shown,
        'examples': {name: len(places) for name, places in rows.items()},
        'test': how,
        'label': {'column': name, **counted(labels)},
        'columns': described(raw.arrays, names, inputs),
    }
    target = _target(stored, labels, trained[stored])
    return Encoded(arrays, rows, standardised(inputs, trained), target, schema)


def _target(name: str, labels: Labels, trained: np.ndarray) -> Target:
    if labels.classes:
        return Target('class', name, labels.classes)
    mean, deviation = trained.mean(dtype=np.float64), trained.std(dtype=np.float64)
    return Target('number', name, mean=float(mean), deviation=float(deviation) or 1.0)
