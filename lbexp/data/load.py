"""Prepared data sets as NumPy arrays: decoded once, kept beside the prepared files."""

import functools
import hashlib
import os
import zipfile

import filelock
import numpy as np

from lbexp.data.prepared import prepared


def load(name: str, split: str) -> dict[str, np.ndarray]:
    """{'image': uint8 [n, h, w, c] or float32 [n, points, 1], 'label': int32 [n]} of a split, as stored; read-only.

    The first call decodes (seconds; imports TFDS); later ones, in this process or another, take the decoded copy,
    which is made again when the prepared files change. No copy is kept where the folder cannot be written.

    Args:
        name: a key of prepared.VERSIONS.
        split: 'train' or 'test'.

    Raises:
        ValueError: no such data set or split, not prepared, or damaged; the message gives the remedy.
    """
    files = prepared(name, split)
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    stamp = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    return dict(_decoded(name, split, files[0].parent, stamp))


@functools.lru_cache(8)
def _decoded(name, split, folder, stamp):
    copy = folder / f'decoded-{split}-{stamp}.npz'
    arrays = _copied(copy)
    if arrays is None and not os.access(folder, os.W_OK):
        arrays = _read(name, split)
    elif arrays is None:
        with filelock.FileLock(folder / f'.decoded-{split}.lock'):
            arrays = _copied(copy)
            if arrays is None:
                arrays = _read(name, split)
                _keep(copy, split, arrays)
    for values in arrays.values():
        values.flags.writeable = False
    return arrays


def _copied(copy):
    """The arrays of a decoded copy; None: there is none, or it is damaged and has to be made again."""
    try:
        with np.load(copy) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _keep(copy, split, arrays):
    for outdated in copy.parent.glob(f'decoded-{split}-*'):
        outdated.unlink()
    beside = copy.with_suffix('.part')
    try:
        with open(beside, 'wb') as file:
            np.savez(file, **arrays)
        os.replace(beside, copy)
    except OSError:  # no space: without a copy the next start only takes longer
        beside.unlink(missing_ok=True)


def _read(name, split):
    from lbexp.data.records import records

    examples = records(name, split)
    examples = examples.__getitems__(range(len(examples)))
    return {key: np.stack([example[key] for example in examples]) for key in ('image', 'label')}
