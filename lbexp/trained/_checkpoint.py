"""Checkpoints as a reader takes them: nothing is moved, renamed or cleaned up, as the process that
trains may be at it."""

import errno
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lbexp import results
from lbexp.engine.checkpoint import DIGEST, MANIFEST
from lbexp.engine.identity import Identity
from lbexp.engine.named import digest
from lbexp.engine.seal import broken
from lbexp.errors import Damaged, Refusal

_LISTINGS = 3  # of a folder whose checkpoints are replaced while they are read


class Checkpoint(NamedTuple):
    """A sound checkpoint of a cohort."""

    trials: list[int]  # in the order of the arrays' first axis
    arrays: dict[str, np.ndarray]  # by path, as `engine.named` has them


class _Wrong(Exception):
    """It is not what was saved, or another's."""


class _Vanished(Exception):
    """It was there when the folder was listed."""


def newest(
    folder: pathlib.Path, trial: int, identity: Callable[[list[int]], Identity]
) -> Checkpoint | None:
    """The newest sound checkpoint of a cohort's folder; None: there is none, or `trial` is not in
    it.

    One that is damaged, or another's, is named on standard error, and the one before it is taken.

    Args:
        identity: of these trials, as config.json says it.

    Raises:
        Damaged: there are checkpoints, and none is sound.
        OSError: a checkpoint cannot be read.
    """
    for _ in range(_LISTINGS):
        try:
            return _newest(folder, trial, identity)
        except _Vanished:
            continue
    return None


def _newest(folder, trial, identity):
    problems = []
    for position in _positions(folder):
        path = folder / str(position)
        try:
            # First: states may be large, and the folder another cohort's.
            trials = _trials(path)
            if trial not in trials:
                return None
            return Checkpoint(trials, _sound(path, position, identity(trials)))
        # Trials that config.json does not know: that is no damage of this checkpoint.
        except Refusal:
            raise
        except Exception as error:  # Orbax raises what it likes on damaged files
            problems.append(f'{path} is damaged ({_what_is_wrong(error, path)})')
            results.say_once(f'checkpoint {problems[-1]}; left out')
    if problems:
        rule = 'Put a copy of it back, or train these trials again'
        raise Damaged(f'{folder}: no usable checkpoint; {problems[0]}. {rule}')
    return None


def _what_is_wrong(error, path):
    """In words; what the system refuses is no damage, and is raised."""
    if isinstance(error, _Wrong):
        return str(error)
    # The process that trains keeps the newest two: it has removed this one meanwhile.
    if not path.exists():
        raise _Vanished from error
    wrong = broken(path)
    if wrong:
        return wrong
    # A file that is not there is damage, not what the system refuses.
    is_missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
    if isinstance(error, (OSError, MemoryError)) and not is_missing:
        raise error
    words = (str(error).splitlines() or [repr(error)])[0][:200]
    is_sealed = wrong is not None
    if is_sealed:
        whole = f'{words}, though its files are as they were written'
        raise OSError(errno.EIO, whole, str(path)) from error
    return words


def _positions(folder):
    """Names of the complete checkpoints, newest first; what is being saved has another name."""
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir() if path.is_dir()]
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def _trials(path):
    """Whose a checkpoint says it is; it is not believed until its digest is compared."""
    manifest = _manifest(_read(path, [MANIFEST]))
    trials = manifest.get('trials') if isinstance(manifest, dict) else None
    if not isinstance(trials, list) or not all(type(trial) is int for trial in trials):
        raise _Wrong('it does not say whose it is')
    return trials


def _sound(path, position, identity):
    arrays = _read(path)
    if bytes(arrays.pop(DIGEST)) != bytes(digest(arrays)):
        raise _Wrong('its contents are not what was saved (SHA-256)')
    difference = identity.difference(_manifest(arrays), position)
    if difference:
        raise _Wrong(difference)
    return arrays


def _manifest(arrays):
    return json.loads(arrays.pop(MANIFEST).tobytes())


def _read(path: pathlib.Path, names: list[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of these names; None: all."""
    from orbax.checkpoint import v1 as ocp

    described: Any = ocp.metadata(str(path.absolute())).metadata
    described = dict(described)
    if DIGEST not in described or MANIFEST not in described:
        raise _Wrong('it does not say whose it is')
    wanted: Any = {}
    for name in names or described:
        wanted[name] = np.zeros(described[name].shape, described[name].dtype)
    context = ocp.Context()
    # Orbax otherwise refuses to leave arrays out.
    context.pytree.loading.partial_load = True
    with context:
        loaded: Any = ocp.load(str(path.absolute()), wanted)
    return dict(loaded)
