"""Columns that were decoded from a source, each an array along whose first axis the examples lie,
and the copies of them in the user's cache folder."""

import hashlib
import os
import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lbexp.data.copies import keep, stored

TEST = '__test__'  # column of a copy: which examples the source itself keeps for testing
_VERSION = '1'  # of what is decoded; another one makes new copies


class Columns(NamedTuple):
    """What a file holds."""

    arrays: dict[str, np.ndarray]  # [size, ...] each; texts are NumPy's, a missing one is ''
    # bool [size]: which the source keeps for testing; None: it does not say
    test: np.ndarray | None


def cached(source: str, decode: Callable[[], Columns]) -> Columns:
    """What `decode` gives, or the copy of it.

    Args:
        source: what the columns are made of, in a text that no other content has.
    """
    name = hashlib.sha256(f'{_VERSION} {source}'.encode()).hexdigest()[:32]
    folder = cache_folder()
    copy = folder / f'{name}.npz'
    arrays, wrong = stored(copy)
    if wrong:
        print(f'lbexp: {copy}: {wrong}; decoded again', file=sys.stderr)
    if arrays is None:
        columns = decode()
        arrays = dict(columns.arrays)
        if columns.test is not None:
            arrays[TEST] = columns.test
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:  # without a copy the next start only takes longer
            return columns
        keep(copy, arrays)
    return Columns(arrays, arrays.pop(TEST, None))


def stamp(path: pathlib.Path) -> tuple:
    """Changes when a file, or one of a folder's, does: sizes and times."""
    files = sorted(path.rglob('*')) if path.is_dir() else [path]
    facts = []
    for file in files:
        if file.is_file():
            status = file.stat()
            facts.append((str(file), status.st_size, status.st_mtime_ns))
    return tuple(facts)


def cache_folder() -> pathlib.Path:
    """Where decoded copies of the user's files lie."""
    base = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    return pathlib.Path(base).expanduser() / 'lbexp' / 'decoded'
