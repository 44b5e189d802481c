"""Decoded copies of data: arrays in a file, with the SHA-256 of what was written beside it."""

import contextlib
import hashlib
import os
import pathlib
import uuid

import numpy as np


def stored(copy: pathlib.Path) -> tuple[dict[str, np.ndarray] | None, str]:
    """The arrays of a copy, or None; and what is wrong with it, if it is there and has to be made
    again."""
    try:
        with np.load(copy, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file}
        if _digest_file(copy).read_text() == _digest(copy.stem, arrays):
            return arrays, ''
        return None, 'its content is not what was written'
    except FileNotFoundError as error:
        if error.filename == str(copy):
            return None, ''
        return None, 'no SHA-256 beside it'
    except Exception as error:  # NumPy and zlib raise what they like on damaged bytes
        return None, str(error).partition('\n')[0] or type(error).__name__


def keep(copy: pathlib.Path, arrays: dict[str, np.ndarray], outdated: str = '') -> None:
    """Writes a copy, whole or not at all; where the disk refuses, there is none.

    Args:
        outdated: pattern of files beside it that are removed; '': none.
    """
    draft = copy.with_name(f'{copy.stem}.{uuid.uuid4().hex}.part')
    try:
        if outdated:
            for old in copy.parent.glob(outdated):
                old.unlink()
        with open(draft, 'wb') as file:
            np.savez(file, allow_pickle=False, **arrays)
        # Before the copy: a digest alone, which a kill may leave, is taken for no copy.
        _digest_file(copy).write_text(_digest(copy.stem, arrays))
        os.replace(draft, copy)
    except OSError:  # no space: without a copy the next start only takes longer
        with contextlib.suppress(OSError):
            draft.unlink()


def _digest(stem, arrays):
    """SHA-256 of the name, which says what was decoded, and of the arrays."""
    digest = hashlib.sha256(stem.encode())
    for key, values in sorted(arrays.items()):
        digest.update(f'{key} {values.dtype.str} {values.shape}'.encode())
        digest.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _digest_file(copy):
    return copy.with_suffix('.sha256')
