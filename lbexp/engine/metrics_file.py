"""metrics.jsonl: one JSON object a line, append-only; and whether what was written is still
there."""

import contextlib
import glob
import hashlib
import json
import math
import os
import pathlib
import time
import uuid
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from lbexp.errors import Damaged, Refusal

_NOTHING = bytes(32)
_OLD_PART = 3600  # s; no writer takes that long


class Written(NamedTuple):
    """The rows of a trial."""

    count: int = 0
    digest: bytes = _NOTHING  # SHA-256 of the digest before the last row, and the last row

    def and_row(self, line: bytes) -> 'Written':
        digest = hashlib.sha256(self.digest + line.rstrip(b'\n')).digest()
        return Written(self.count + 1, digest)


class MetricsWriter:
    """Appends rows to a file, and knows what it should hold. Opening it repairs a last line that a
    crash has torn."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        there = lines(path)
        content = _content(there)
        self._size, self._written = len(content), count(there)
        if path.exists() and path.stat().st_size > self._size:
            replace(path, content)

    def write(self, rows: Sequence[dict]):
        """Appends the rows in one write: a crash tears the last line at most.

        Raises:
            Damaged: the file no longer holds what was written before.
        """
        new = [(int(row['trial']), _line(row)) for row in rows]
        content = _content(new)
        end = append(self.path, content)
        # Counted once they are there: what a full disk did not take is not missed later.
        for trial, line in new:
            self._written[trial] = self.written(trial).and_row(line)
        self._size += len(content)
        if end != self._size:
            raise Damaged(
                f'{self.path}: found {end} bytes where {self._size} were written. {REMEDY}'
            )

    def written(self, trial: int) -> Written:
        """What the file should hold of a trial."""
        return self._written.get(trial, Written())

    def rewind(self, reached: dict[int, Written]):
        """Drops what a killed run wrote of these trials after its last checkpoint.

        Args:
            reached: by trial, what the file held when the checkpoint was made.

        Raises:
            Damaged: the file no longer holds it; nothing is dropped.
        """
        if all(self.written(trial) == reached[trial] for trial in reached):
            return
        counts = dict.fromkeys(reached, Written())
        remaining = []
        for trial, line in lines(self.path):
            if trial in reached:
                if counts[trial].count == reached[trial].count:
                    continue  # it came after the checkpoint
                counts[trial] = counts[trial].and_row(line)
            remaining.append((trial, line))
        missing = differences(self.path, counts, reached)
        if missing:
            raise Damaged(f'{missing}. {REMEDY}')
        content = _content(remaining)
        replace(self.path, content)
        self._size = len(content)
        self._written |= reached

    def check(self):
        """Reads the file again.

        Raises:
            Damaged: it does not hold what was written.
        """
        missing = differences(self.path, count(lines(self.path)), self._written)
        if missing:
            raise Damaged(f'{missing}. {REMEDY}')

    def sync(self):
        """Returns when everything written is on the disk."""
        if self.path.exists():
            with _naming(self.path), open(self.path, 'ab') as file:
                os.fsync(file.fileno())


REMEDY = (
    'Put a copy of the file back, choose another --workdir, or give --restart_lost, '
    'which trains these trials from the start'
)


def lines(path: pathlib.Path) -> list[tuple[int, bytes]]:
    """The trial and the line of each row; a last line that was cut off is none.

    Raises:
        Refusal: another line is no row; the message says which.
    """
    content = path.read_bytes() if path.exists() else b''
    whole = content[: content.rfind(b'\n') + 1].splitlines(keepends=True)
    rows = []
    for number, line in enumerate(whole, 1):
        rows.append((_trial(path, number, line), line))
    return rows


def count(lines: Iterable[tuple[int, bytes]]) -> dict[int, Written]:
    """The rows of each trial."""
    written = {}
    for trial, line in lines:
        written[trial] = written.get(trial, Written()).and_row(line)
    return written


def _trial(path, number, line):
    try:
        row = json.loads(line)
        # `true` is an int to isinstance.
        if type(row['trial']) is int and type(row['step']) is int:
            return row['trial']
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise Refusal(
        f'{path}: line {number} is no row ({line[:40]!r}); allowed: a JSON object, with a trial '
        'and a step. Put a copy of the file back, or delete the line'
    )


def differences(path: pathlib.Path, there: dict[int, Written], expected: dict[int, Written]) -> str:
    """What the file does not hold of what was written, in words; '': it holds all of it."""
    lost = [trial for trial in expected if there.get(trial, Written()) != expected[trial]]
    if not lost:
        return ''
    shown, others = [], ''
    for trial in lost[:3]:
        present, wanted = there.get(trial, Written()).count, expected[trial].count
        shown.append(f'trial {trial}: {present} rows of {wanted}')
        if present == wanted:
            others = ', others than were written'
    more = '; ...' if len(lost) > 3 else ''
    return f'{path}: rows are lost ({"; ".join(shown)}{others}{more})'


class NullWriter:
    """The rows and events of a process that does not write them."""

    def write(self, rows: Iterable[dict]):
        pass

    def written(self, trial: int) -> Written:
        return Written()

    def rewind(self, reached: dict[int, Written]):
        pass

    def check(self):
        pass

    def sync(self):
        pass


def append(path: pathlib.Path, content: bytes) -> int:
    """Writes behind what the file has: a crash or a full disk tears the end at most, and a full
    disk is told.

    Returns:
        The size of the file after it.
    """
    with _naming(path), open(path, 'ab', buffering=0) as file:
        while content:  # the last bytes that a disk has room for are written without an error
            content = content[file.write(content) :]
        return os.fstat(file.fileno()).st_size


def replace(path: pathlib.Path, content: bytes):
    """Writes a file whole or not at all: beside it, synced, then renamed; the folder is synced,
    too. Of several writers at once the last one's stays.

    Raises:
        OSError: with the name of the file; nothing of it is left beside it.
    """
    # A name of its own, and a file that was not there: no other writer's, and nobody's link.
    beside = path.with_name(f'{path.name}.{uuid.uuid4().hex}.part')
    with _naming(path):
        try:
            _discard_old_parts(path)
            with open(beside, 'xb') as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise


@contextlib.contextmanager
def _naming(path):
    """Writes and syncs that fail do not say of which file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _discard_old_parts(path):
    """Removes what writers left that were killed more than an hour ago."""
    for left in path.parent.glob(f'{glob.escape(path.name)}.*.part'):
        with contextlib.suppress(FileNotFoundError):  # another writer does the same
            if time.time() - left.lstat().st_mtime > _OLD_PART:
                left.unlink()


def _content(rows):
    """The file's bytes of (trial, line) of each row."""
    return b''.join(line for _, line in rows)


def _line(row):
    text = json.dumps({name: _plain(value) for name, value in row.items()})
    return f'{text}\n'.encode()


def _plain(value):
    """JSON has no NaN: null. A float32 is written with the digits that it needs, so it reads back
    to the bit."""
    value = np.asarray(value)
    if value.ndim:
        return list(map(_plain, value))
    is_bfloat16 = value.dtype.name == 'bfloat16'  # to NumPy of another kind than 'f'
    if value.dtype.kind != 'f' and not is_bfloat16:
        return value.item()
    if value.dtype.itemsize < 4:
        value = value.astype(np.float64)
    shortest = float(str(value))
    return shortest if math.isfinite(shortest) else None
