"""Files of the user's as columns: each an array along whose first axis the examples lie."""

import hashlib
import os
import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lbexp.data.copies import keep, stored

IMAGES = ('.png', '.jpg', '.jpeg', '.bmp', '.gif', '.webp', '.tif', '.tiff')
TABLES = ('.csv', '.tsv', '.parquet')
TEST = '__test__'  # column of a copy: which examples the source itself keeps for testing
_VERSION = '1'  # of what is decoded; another one makes new copies


class Columns(NamedTuple):
    """What a file holds."""

    arrays: dict[str, np.ndarray]  # [size, ...] each; texts are NumPy's, a missing one is ''
    test: (
        np.ndarray | None
    )  # bool [size]: which the source keeps for testing; None: it does not say


def read(path: pathlib.Path, size: tuple[int, int] | None) -> Columns:
    """The columns of a table (.csv, .tsv, .parquet), an archive (.npz) or a folder of images.

    Tables and folders are decoded once: a copy, named by the SHA-256 of what it was made of, lies
    in the user's cache folder (XDG_CACHE_HOME, or ~/.cache), with the SHA-256 of its arrays.

    Args:
        size: (height, width) that images are resized to; None: they have one size already.

    Raises:
        ValueError: it is none of these, or damaged.
    """
    if path.is_dir():
        from lbexp.datasets._folder import content, folder

        return cached(content(path) + repr(size), lambda: folder(path, size))
    if not path.is_file():
        raise ValueError(
            f'{path}: found no file or folder; allowed: a table ({", ".join(TABLES)}), an archive '
            '(.npz) or a folder of images'
        )
    if path.suffix == '.npz':
        from lbexp.datasets._archive import archive

        return archive(path)
    if path.suffix not in TABLES:
        raise ValueError(
            f'{path}: found {path.suffix or "no suffix"!r}; allowed: {", ".join(TABLES)}, .npz, or '
            'a folder of images'
        )
    from lbexp.datasets._table import table

    with open(path, 'rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
    return cached(digest + path.suffix, lambda: table(path))


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
