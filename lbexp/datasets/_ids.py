"""Ids in the examples against the vocabularies that describe them."""

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
        for name, described in data.inputs.items():
            if described.vocabulary:
                _check(f'{split}: {name}', arrays[name], np.asarray(described.vocabulary))
        if data.target.classes:
            _check(
                f'{split}: {data.target.name}', arrays[data.target.name], len(data.target.classes)
            )


def _check(where, ids, sizes):
    # what depends on a traced number cannot be looked at
    if isinstance(ids, jax.core.Tracer):
        return
    ids = np.asarray(ids)
    if ids.dtype.kind not in 'iu':
        raise ValueError(f'data: {where}: found {ids.dtype}; allowed: integers')
    outside = (ids < 0) | (ids >= sizes)
    if outside.any():
        raise ValueError(
            f'data: {where}: found id {ids[outside][0]}; allowed: 0 .. {np.max(sizes) - 1}, the '
            'vocabulary'
        )
