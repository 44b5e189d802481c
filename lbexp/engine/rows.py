"""metrics.jsonl: one JSON object a line, append-only."""

import json
import math
import os
import pathlib
from collections.abc import Callable, Iterable

import numpy as np


class Rows:
    """Appends rows to a file. Opening it repairs a last line that a crash has torn."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        if path.exists() and not path.read_bytes().endswith(b'\n'):
            self._rewrite(path.read_bytes().splitlines(keepends=True)[:-1])

    def write(self, rows: Iterable[dict]):
        """Appends the rows in one write: a crash tears the last line at most."""
        lines = ''.join(json.dumps({k: _plain(v) for k, v in row.items()}) + '\n' for row in rows)
        append(self.path, lines.encode())

    def keep(self, wanted: Callable[[dict], bool]):
        """Drops the rows that are not `wanted`: what a killed run wrote after its last checkpoint.

        Raises:
            ValueError: a line is damaged.
        """
        if not self.path.exists():
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        kept = [line for number, line in enumerate(lines, 1) if wanted(self._row(number, line))]
        if len(kept) < len(lines):
            self._rewrite(kept)

    def sync(self):
        """Returns when everything written is on the disk."""
        if self.path.exists():
            with open(self.path, 'ab') as file:
                os.fsync(file.fileno())

    def _row(self, number, line):
        try:
            return json.loads(line)
        except ValueError as error:  # a crash tears the last line alone
            rule = 'allowed: one JSON object a line. Delete it to go on without it'
            raise ValueError(f'{self.path}: line {number} is no row ({line[:40]!r}); {rule}') from error

    def _rewrite(self, lines):
        replace(self.path, b''.join(lines))


class Nowhere:
    """The rows and events of a process that does not write them."""

    def write(self, rows: Iterable[dict]):
        pass

    def keep(self, wanted: Callable[[dict], bool]):
        pass

    def sync(self):
        pass


def append(path: pathlib.Path, content: bytes):
    """Writes behind what the file has: a crash or a full disk tears the end at most, and a full disk is told."""
    try:
        with open(path, 'ab', buffering=0) as file:
            while content:  # the last bytes that a disk has room for are written without an error
                content = content[file.write(content) :]
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def replace(path: pathlib.Path, content: bytes):
    """Writes a file whole or not at all: beside it, synced, then renamed."""
    beside = path.with_name(path.name + '.part')
    try:
        with open(beside, 'wb') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _plain(value):
    """JSON has no NaN: null. A float32 is written with the digits that it needs, so it reads back to the bit."""
    value = np.asarray(value)
    if value.ndim:
        return [_plain(v) for v in value]
    if value.dtype.kind in 'f' or value.dtype.name == 'bfloat16':
        short = float(str(value.astype(np.float64) if value.dtype.itemsize < 4 else value))
        return short if math.isfinite(short) else None
    return value.item()
