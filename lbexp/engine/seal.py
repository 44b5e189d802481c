"""The files of a complete checkpoint: one that cannot be read is told from one that is wrong."""

import hashlib
import json
import pathlib

from lbexp.engine.metrics_file import replace

_NAME = 'sealed.json'


def seal(folder: pathlib.Path):
    """Writes into the folder the size and SHA-256 of each of its files."""
    entries = {}
    for name, path in _files(folder).items():
        entries[name] = [path.stat().st_size, _digest(path)]
    replace(folder / _NAME, json.dumps(entries, indent=1).encode())


def broken(folder: pathlib.Path) -> str | None:
    """What is wrong with the files, in words; '': nothing. None: it was not sealed, so it was never
    complete.

    Raises:
        OSError: a file cannot be read, which says nothing about what is in it.
    """
    try:
        entries = json.loads((folder / _NAME).read_bytes())
        sealed = {}
        for name, (size, digest) in entries.items():
            sealed[name] = int(size), str(digest)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError, RecursionError):
        return f'{_NAME} is no list of its files'
    there = _files(folder)
    for name, (size, digest) in sealed.items():
        if name not in there:
            return f'{name} is missing'
        # First the size, for which nothing is read.
        actual = there[name].stat().st_size
        if actual != size:
            return f'{name} has {actual} bytes of {size}'
        if _digest(there[name]) != digest:
            return f'{name} is not what was written (SHA-256)'
    return ''


def _files(folder):
    files = {}
    for path in sorted(folder.rglob('*')):
        if path.is_file() and path.name != _NAME:
            files[path.relative_to(folder).as_posix()] = path
    return files


def _digest(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
