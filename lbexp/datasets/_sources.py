"""Files of the user's as columns: each an array along whose first axis the examples lie."""

import hashlib
import pathlib

from lbexp.datasets._archive import archive
from lbexp.datasets._decoded import Columns, cached
from lbexp.datasets._folder import content, folder
from lbexp.datasets._table import table

TABLES = ('.csv', '.tsv', '.parquet')


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
        return cached(content(path) + repr(size), lambda: folder(path, size))
    if not path.is_file():
        raise ValueError(
            f'{path}: found no file or folder; allowed: a table ({", ".join(TABLES)}), an archive '
            '(.npz) or a folder of images'
        )
    if path.suffix == '.npz':
        return archive(path)
    if path.suffix not in TABLES:
        raise ValueError(
            f'{path}: found {path.suffix or "no suffix"!r}; allowed: {", ".join(TABLES)}, .npz, or '
            'a folder of images'
        )
    with open(path, 'rb') as file:
        digest = hashlib.file_digest(file, 'sha256').hexdigest()
    return cached(digest + path.suffix, lambda: table(path))
