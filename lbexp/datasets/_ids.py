"""Ids in the examples against the vocabularies that describe them."""

from typing import Any

import jax
import numpy as np

from lbexp.datasets import Dataset


def check_ids(data: Dataset) -> None:
    """Raises ValueError where an array that is described is not there, or an id is outside its
    vocabulary: an embedding would be read beyond its end, and give NaN or another's vector."""
    for split in ('train', 'validation', 'test'):
        source = getattr(data, split)
        arrays = None if source is None else source.arrays
        # a stream, or a source of the user's own kind: its examples are seen when they are read
        if source is None or source.feed is not None or not isinstance(arrays, dict):
            continue
        for name in (*data.inputs, data.target.name):
            if name not in arrays:
                raise ValueError(
                    f'data: {split}: found no {name!r}; allowed: {", ".join(sorted(arrays))}'
                )
        for name, counts in id_counts(data).items():
            problem = wrong_ids(arrays[name], counts)
            if problem:
                raise ValueError(f'data: {split}: {name}: {problem}')


def id_counts(data: Dataset) -> dict[str, np.ndarray]:
    """{name of an array of ids: how many ids there are}, of each column where they differ."""
    counts = {}
    for name, described in data.inputs.items():
        if described.vocabulary:
            counts[name] = np.asarray(described.vocabulary)
    if data.target.classes:
        counts[data.target.name] = np.asarray(len(data.target.classes))
    return counts


def wrong_ids(ids: Any, counts: np.ndarray) -> str:
    """What is wrong where not all are of 0 .. counts - 1, in words; '': nothing."""
    # what depends on a traced number cannot be looked at
    if isinstance(ids, jax.core.Tracer):
        return ''
    ids = np.asarray(ids)
    if ids.dtype.kind not in 'iu':
        return f'found {ids.dtype}; allowed: integers'
    outside = (ids < 0) | (ids >= counts)
    if not outside.any():
        return ''
    return f'found id {ids[outside][0]}; allowed: 0 .. {np.max(counts) - 1}, the vocabulary'
