"""One process at a time in a workdir."""

import contextlib
import json
import pathlib

import filelock

from lbexp import owner
from lbexp.engine.metrics_file import replace
from lbexp.errors import Refusal


@contextlib.contextmanager
def lock(workdir: pathlib.Path):
    """Holds the workdir while the context lasts; the lock of a process that died is nobody's.

    Raises:
        Refusal: another process holds it; the message names its host and pid.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    file = workdir / owner.FILE
    file_lock = filelock.FileLock(workdir / '.lock')
    try:
        # Now or not at all: whoever holds it may train for days.
        file_lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise Refusal(
            f'workdir {str(workdir)!r} is in use by {owner.name(workdir)}. '
            'Wait for it, or choose another --workdir; if it has ended (on a file system without '
            f'locks that is not seen), delete {workdir / ".lock"}'
        ) from error
    try:
        replace(file, json.dumps(owner.owner()).encode())
        yield
    finally:
        # While the lock is held: the next holder writes its own.
        file.unlink(missing_ok=True)
        file_lock.release()
