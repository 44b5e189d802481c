"""Columns of several workdirs as one."""

from collections.abc import Sequence

import numpy as np

from lbexp.results._rows import Rows


def stacked(name: str, parsed: Sequence[Rows]) -> np.ndarray:
    """One column of several; numbers where any are, and what is none counts as null."""
    kind = _kind(name, parsed)
    parts = []
    for rows in parsed:
        part = rows.columns.get(name)
        if part is None or part.dtype != kind:
            part = blank(rows.count, kind)
        parts.append(part)
    return np.concatenate(parts)


def _kind(name, parsed):
    kinds = []
    for rows in parsed:
        column = rows.columns.get(name)
        if column is None:
            continue
        if column.dtype != object and np.isfinite(column).any():
            return column.dtype
        kinds.append(column.dtype)
    return kinds[0]


def blank(count: int, dtype: np.dtype) -> np.ndarray:
    """A column in which nothing was recorded."""
    return np.full(count, None if dtype.hasobject else np.nan, dtype)
