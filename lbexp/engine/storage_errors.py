"""What Orbax and TensorStore raise, told as the system's errors: they have words of their own for a
full disk, and for what cannot be read just now."""

import contextlib
import errno
import pathlib
from collections.abc import Generator
from typing import Any

from lbexp.engine.seal import broken

_DISK_FULL = ('No space left', 'RESOURCE_EXHAUSTED', 'ENOSPC')
_OF_THE_SYSTEM = (
    'RESOURCE_EXHAUSTED',
    'PERMISSION_DENIED',
    'Too many open files',
    'UNAVAILABLE',
    'Input/output error',
)


@contextlib.contextmanager
def full_disk_as_oserror(directory: pathlib.Path) -> Generator[None, None, None]:
    """Raises an OSError that names `directory` where what is done inside finds the disk full."""
    try:
        yield
    except Exception as error:
        if not any(word in str(error) for word in _DISK_FULL):
            raise
        raise OSError(errno.ENOSPC, 'No space left on device', str(directory)) from error


@contextlib.contextmanager
def refusal_as_oserror(directory: pathlib.Path) -> Generator[None, None, None]:
    """Raises an OSError where the system refuses what is done inside; it names the file, or
    `directory`."""
    try:
        yield
    except Exception as error:
        refusal = system_refusal(error)
        if refusal is None:
            raise
        path = getattr(error, 'filename', None) or str(directory)
        raise OSError(*refusal, path) from error


def system_refusal(error: BaseException | None) -> tuple[int, str] | None:
    """(number, words) where the system could not do what was asked; None: something else is
    wrong."""
    while error is not None:
        if isinstance(error, MemoryError):
            return errno.ENOMEM, 'Cannot allocate memory'
        # A file that is not there is damage, not a refusal.
        is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        if isinstance(error, OSError) and not is_missing:
            return error.errno or errno.EIO, error.strerror or str(error)
        if any(word in str(error) for word in _OF_THE_SYSTEM):
            return errno.EIO, _first_line(error)
        # Orbax wraps what the system said in errors of its own.
        error = error.__cause__ or error.__context__
    return None


def diagnosis(error: Exception, folder: pathlib.Path) -> dict[str, Any]:
    """Why a checkpoint could not be loaded: {'wrong': words}, or {'system': what an OSError
    takes}. Where the error does not say, the seal of its files does."""
    try:
        wrong = broken(folder)
    except OSError as unreadable:
        path = str(unreadable.filename or folder)
        return {'system': [unreadable.errno, unreadable.strerror, path]}
    refusal = system_refusal(error)
    is_sealed = wrong is not None
    if wrong or not (is_sealed or refusal):
        return {'wrong': wrong or _first_line(error)}
    number, words = refusal or (errno.EIO, _first_line(error))
    return {'system': [number, f'{words}, though its files are as they were written', str(folder)]}


def _first_line(error):
    lines = str(error).splitlines() or [repr(error)]
    return lines[0][:200]
