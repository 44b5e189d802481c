"""Checkpoints of a cohort with Orbax: the only file that imports it. Every process of a job calls
them alike."""

import concurrent.futures
import contextlib
import errno
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lbexp.engine.identity import NOBODY, Identity
from lbexp.engine.named import as_key, digest, named
from lbexp.engine.seal import broken, seal
from lbexp.errors import Damaged, Refusal
from lbexp.parallel import collectives, hosts

_DIGEST, _MANIFEST = _OURS = '/sha256', '/manifest'
_OF_THE_SYSTEM = (
    'RESOURCE_EXHAUSTED',
    'PERMISSION_DENIED',
    'Too many open files',
    'UNAVAILABLE',
    'Input/output error',
)


REMEDY = (
    'To begin anew, give --restart_lost, which trains these trials from the start, or '
    'choose another --workdir'
)


class _Wrong(Exception):
    """A checkpoint was read, and is not what was saved, or another's."""


class Checkpoints:
    """Saves and restores a tree of arrays by step. A save that was cut off is not seen by the next
    reader.

    Each checkpoint holds the SHA-256 of what is in it: Orbax restores flipped bits without a word.
    It says whose it is; another's is not restored. When it is complete its files are sealed, by
    which a damaged checkpoint is told from one that cannot be read just now.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        keep: int = 2,
        warn: Callable[[str], Any] = lambda line: None,
        identity: Identity = NOBODY,
    ):
        """Opens the folder.

        Args:
            directory: of these checkpoints alone.
            keep: checkpoints kept, the newest.
            warn: is told of each checkpoint that is set aside.
            identity: whose checkpoints they are.
        """
        # Orbax takes a second to import; a run that is refused before it trains should not wait for
        # it.
        from orbax.checkpoint import v1 as ocp

        directory.mkdir(parents=True, exist_ok=True)
        policy: Any = ocp.training.preservation_policies.LatestN(keep)
        self._open = lambda: ocp.training.Checkpointer(
            str(directory.absolute()),
            preservation_policy=policy,
            cleanup_tmp_directories=True,
        )
        self._directory, self._warn, self._identity = directory, warn, identity
        # called when a checkpoint is complete, in the background, before it counts
        self.completed: Callable[[int], Any] = lambda step: None
        with self._system_is_told():
            self._manager = self._open()
        # Even Orbax's asynchronous save keeps its caller for 60 ms. The processes of a job must
        # meet in it: they wait.
        self._writer = concurrent.futures.ThreadPoolExecutor(1) if hosts.count() == 1 else None
        self._writing = None
        self.saved = self._pending = self._manager.latest and self._manager.latest.step

    def save(self, step: int, tree: Any, before: Callable[[], Any] = lambda: None):
        """Copies `tree` and writes it in the background; a second save waits for the first.

        Args:
            before: called in the background first.

        Raises:
            OSError: the disk is full; what was saved before is not touched. So does `wait`, for
                what was begun here.
        """
        if self._pending is None or self._pending < step:
            self.wait()
            leaves = {path: leaf for path, leaf in named(tree) if leaf.size}
            if self._writer:
                self._writing = self._writer.submit(self._write, step, leaves, before)
            else:
                self._write(step, leaves, before)
            self._pending = step

    def _write(self, step, leaves, before):
        before()
        manifest = json.dumps(self._identity.manifest(step)).encode()
        with self._disk_full_is_told():
            # Without force, Orbax silently skips a save while another is in progress.
            leaves = {**leaves, _MANIFEST: np.frombuffer(manifest, np.uint8)}
            tree: Any = {**leaves, _DIGEST: digest(leaves)}
            self._manager.save_async(step, tree, force=True)
            if self._writer:
                self._manager.wait()
                self._complete(step)

    def _complete(self, step):
        seal(self._directory / str(step))
        self.completed(step)

    def restore(self, like: Any) -> Any | None:
        """The newest sound checkpoint as a tree of NumPy arrays with the structure of `like`; None:
        there is none.

        A checkpoint that is not what was saved, or is another's, is moved to the folder `damaged`,
        with a warning.

        Raises:
            Damaged: there are checkpoints, and none is sound.
            Refusal: all hold other arrays than `like`.
            OSError: a checkpoint cannot be read; nothing is moved.
        """
        with self._system_is_told():
            steps = collectives.run_on_primary(
                lambda: sorted((item.step for item in self._manager.checkpoints), reverse=True)
            )
        for step in steps:
            loaded, problem = self._attempt(step, like)
            problems = [item for item in collectives.allgather_object(problem) if item]
            if not problems:
                return loaded
            unreadable = [item['system'] for item in problems if 'system' in item]
            if unreadable:
                raise OSError(*unreadable[0])
            if step == steps[0]:
                self._refuse_another_state(steps, like)
            self._quarantine(step, problems[0]['wrong'])
        if steps:
            raise Damaged(
                f'{self._directory}: no usable checkpoint is left of {len(steps)}; what was '
                'there is in '
                f'{self._damaged}. {REMEDY}'
            )
        return None

    def _attempt(self, step, like):
        """(tree, None), or (None, {'wrong': words}), or (None, {'system': what an OSError
        takes})."""
        folder = self._directory / str(step)
        try:
            return self._load(step, like), None
        except _Wrong as error:
            return None, {'wrong': str(error)}
        except Exception as error:  # Orbax raises what it likes on damaged files
            line = (str(error).splitlines() or [repr(error)])[0][:200]
            try:
                wrong = broken(folder)
            except OSError as unreadable:
                return None, {
                    'system': [
                        unreadable.errno,
                        unreadable.strerror,
                        str(unreadable.filename or folder),
                    ]
                }
            if wrong or (wrong is None and not _system(error)):
                return None, {'wrong': wrong or line}
            number, words = _system(error) or (errno.EIO, line)
            return None, {
                'system': [
                    number,
                    f'{words}, though its files are as they were written',
                    str(folder),
                ]
            }

    def _load(self, step, like):
        from orbax.checkpoint import v1 as ocp

        # Orbax refuses empty arrays, so they were not saved; they hold nothing.
        empty = {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in named(like)}
        wanted = {path: leaf for path, leaf in empty.items() if leaf.size}
        # Each process by itself: where one finds damage, Orbax in the others would wait for it.
        alone = ocp.options.MultiprocessingOptions(
            primary_host=hosts.index(), active_processes={hosts.index()}
        )
        with ocp.Context(multiprocessing_options=alone):
            path = str(self._directory.absolute() / str(step))
            # Orbax counts its loads, and the processes must count alike: what cannot be described
            # is loaded too.
            try:
                described: Any = ocp.metadata(path).metadata
                manifest = {_MANIFEST: np.zeros(dict(described)[_MANIFEST].shape, np.uint8)}
            except Exception:  # Orbax raises what it likes on damaged files
                manifest = {}
            tree: Any = {**wanted, **manifest, _DIGEST: np.zeros(32, np.uint8)}
            restored: Any = ocp.load(path, tree)
            loaded = dict(restored)
            if not manifest:
                raise _Wrong('it does not say whose it is')
        if bytes(loaded.pop(_DIGEST)) != bytes(digest(loaded)):
            raise _Wrong('its contents are not what was saved (SHA-256)')
        if difference := self._identity.difference(
            json.loads(loaded.pop(_MANIFEST).tobytes()), step
        ):
            raise _Wrong(difference)
        if differ := [
            path for path, leaf in wanted.items() if np.shape(loaded[path]) != leaf.shape
        ]:
            raise _Wrong(f'other shapes than are trained: {differ[:3]}')
        leaves = [{**empty, **loaded}[path] for path in empty]
        rebuilt = jax.tree.unflatten(jax.tree.structure(like), leaves)
        return jax.tree.map(as_key, rebuilt, like)

    def discard(self):
        """Moves what is left to the folder `damaged`."""
        for step in collectives.run_on_primary(
            lambda: sorted(checkpoint.step for checkpoint in self._manager.checkpoints)
        ):
            self._quarantine(step, '')

    def _refuse_another_state(self, steps, like):
        """A changed configuration is no damage; where one of the checkpoints fits, it was not
        changed."""
        wanted = {
            path: (leaf.shape, np.dtype(leaf.dtype)) for path, leaf in named(like) if leaf.size
        }
        differ = [sorted(self._shapes(step).items() ^ wanted.items(), key=str) for step in steps]
        difference = collectives.run_on_primary(
            lambda: str(differ[0][:3]) if all(differ) and self._shapes(steps[0]) else None
        )
        if difference:
            raise Refusal(
                f'{self._directory}: its checkpoints hold other arrays than this configuration '
                f'trains ({difference}, ...); '
                'allowed: a change that keeps the shapes of parameters and optimizer state. '
                'Choose another --workdir'
            )

    def _shapes(self, step):
        """{path: (shape, dtype)} that the checkpoint says it holds; empty where it does not say."""
        try:
            metadata: Any = self._manager.metadata(step).metadata
            described = dict(metadata)
            return {
                path: (tuple(array.shape), np.dtype(array.dtype))
                for path, array in described.items()
                if path not in _OURS
            }
        except Exception:  # Orbax raises what it likes on damaged files
            return {}

    @property
    def _damaged(self):
        return self._directory.parent / 'damaged'

    def _quarantine(self, step, why):
        self._manager.close()
        target = self._damaged / f'{self._directory.name}-{step}'

        def move():
            target.parent.mkdir(exist_ok=True)
            shutil.rmtree(target, ignore_errors=True)  # of an earlier time
            shutil.move(self._directory / str(step), target)

        collectives.run_on_primary(move)
        if why:
            self._warn(
                f'checkpoint {self._directory / str(step)} is damaged ({why}); moved to {target}'
            )
        self._manager = self._open()
        self.saved = self._pending = self._manager.latest and self._manager.latest.step

    def wait(self):
        """Returns when the last save is complete on the disk."""
        # a save that failed is not pending: nobody tells it twice
        pending, self._pending = self._pending, self.saved
        writing, self._writing = self._writing, None
        if writing:
            writing.result()
        with self._disk_full_is_told():
            self._manager.wait()
            if not self._writer and hosts.is_primary() and pending != self.saved:
                self._complete(pending)
        self.saved = self._pending = pending

    @contextlib.contextmanager
    def _disk_full_is_told(self):
        try:
            yield
        except Exception as error:  # TensorStore has its own words for it
            if not any(
                word in str(error) for word in ('No space left', 'RESOURCE_EXHAUSTED', 'ENOSPC')
            ):
                raise
            raise OSError(errno.ENOSPC, 'No space left on device', str(self._directory)) from error

    @contextlib.contextmanager
    def _system_is_told(self):
        try:
            yield
        except Exception as error:  # TensorStore and Orbax have words of their own
            problem = _system(error)
            if problem is None:
                raise
            raise OSError(
                *problem, getattr(error, 'filename', None) or str(self._directory)
            ) from error

    def close(self):
        """Whoever wants to hear of a save that failed has asked `wait`; what ends a run is not
        hidden behind it."""
        if self._writer:
            self._writer.shutdown()
        with contextlib.suppress(Exception):
            self._manager.close()


def _system(error: BaseException | None) -> tuple[int, str] | None:
    """(number, words) where the system could not do what was asked; None: something else is
    wrong."""
    while error is not None:
        if isinstance(error, MemoryError):
            return errno.ENOMEM, 'Cannot allocate memory'
        if isinstance(error, OSError) and not isinstance(
            error, (FileNotFoundError, NotADirectoryError)
        ):
            return error.errno or errno.EIO, error.strerror or str(error)
        if any(word in str(error) for word in _OF_THE_SYSTEM):
            return errno.EIO, str(error).splitlines()[0][:200]
        error = error.__cause__ or error.__context__
    return None
