"""Files of the user's as the examples that a network was trained on."""

import os
import pathlib
from typing import Any

import numpy as np

from lbexp.datasets import Dataset
from lbexp.datasets._sources import TABLES, read
from lbexp.errors import Refusal
from lbexp.inputs import encoded, ids_of


def as_trained(
    path: str | os.PathLike[str], data: Dataset, size: tuple[int, int] | None = None
) -> dict[str, np.ndarray]:
    """{name: array [n, ...]} of a table, an archive or a folder of images, for a network that was
    trained on `data`: its columns, its ids of texts and classes, its normalisation. Other columns
    are left out.

    Args:
        size: (height, width) that images are resized to, as those that were trained on.

    Raises:
        Refusal: an input or the label is missing, a class that was not trained on, or a missing
            number where there was none.
        ValueError: the file cannot be read.
    """
    path = pathlib.Path(path)
    columns = read(path, size).arrays
    label = data.schema.get('label', {}).get('column', data.target.name)
    wanted = [label]
    for name, described in data.inputs.items():
        wanted += described.columns or (name,)
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise Refusal(f'{path}: found {", ".join(columns)}; allowed: {missing[0]} among them')
    if path.suffix in TABLES:
        arrays = encoded(data.inputs, columns)
    else:
        arrays = {name: _array(data.inputs[name], columns[name]) for name in data.inputs}
    for name, described in data.inputs.items():
        numbers = arrays[name]
        if numbers.dtype.kind == 'f' and not described.has_missing and np.isnan(numbers).any():
            lost = int(np.isnan(numbers).sum())
            raise Refusal(f'{path}: found {lost} missing numbers; allowed: none, as in training')
    arrays[data.target.name] = _labels(path, label, columns[label], data.target.classes)
    return arrays


def _array(described, values) -> np.ndarray:
    """That of an archive or a folder."""
    if described.kind == 'categorical':
        return ids_of(values.reshape(len(values), -1)[:, 0], described.categories[0])[:, None]
    if values.ndim == len(described.shape):  # pictures of one channel, a number for each example
        values = values[..., None]
    if described.kind == 'image' and values.shape[-1] == 1:  # a folder of grey ones has one channel
        values = np.repeat(values, described.shape[-1], axis=-1)
    return values


def _labels(path, name, values, classes) -> Any:
    if not classes:
        return values
    texts = list(map(str, values.tolist()))
    ids = {text: place for place, text in enumerate(classes)}
    unknown = sorted(set(texts) - set(ids))
    if unknown:
        few = ', '.join(map(repr, classes[:12]))
        raise Refusal(f'{path}: label {name!r}: found {unknown[0]!r}; allowed: {few}')
    return np.array([ids[text] for text in texts], np.int32)
