"""Checkpoints of a cohort with Orbax. Every process of a job calls them alike."""

import concurrent.futures
import contextlib
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from lbexp.engine.identity import NOBODY, Identity
from lbexp.engine.named import digest, is_stored, rebuilt, signatures, stored
from lbexp.engine.orbax_saving import checkpointer, saving
from lbexp.engine.seal import seal
from lbexp.engine.storage_errors import diagnosis, full_disk_as_oserror, refusal_as_oserror
from lbexp.errors import Damaged, Refusal
from lbexp.parallel import collectives, hosts

DIGEST, MANIFEST = _OURS = '/sha256', '/manifest'
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
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._keep = directory, keep
        self._warn, self._identity = warn, identity
        # called when a checkpoint is complete, in the background, before it counts
        self.completed: Callable[[int], Any] = lambda step: None
        self._manager: Any = None
        self._saving: Any = None  # of Orbax, a save that was begun
        self.saved: int | None = None
        self._pending: int | None = None
        with refusal_as_oserror(directory):
            # The processes of a job must open it together. Alone, it is opened when it is needed.
            if hosts.count() > 1 or any(directory.iterdir()):
                self._open()
        # Even Orbax's asynchronous save keeps its caller for 60 ms. The processes of a job must
        # meet in it: they wait.
        self._writer = None
        if hosts.count() == 1:
            self._writer = concurrent.futures.ThreadPoolExecutor(1)
        self._writing = None

    def _open(self):
        self._manager = self._opened()
        latest = self._manager.latest
        self.saved = self._pending = latest and latest.step

    def _opened(self):
        return checkpointer(self._directory, self._keep)

    def save(self, step: int, tree: Any, before: Callable[[], Any] = lambda: None):
        """Writes `tree`, which is not to change meanwhile, in the background; a second save waits
        for the first.

        Args:
            before: called in the background first.

        Raises:
            OSError: the disk is full; what was saved before is not touched. So does `wait`, for
                what was begun here.
        """
        if self._pending is None or self._pending < step:
            self.wait()
            leaves = stored(tree)
            if self._writer:
                self._writing = self._writer.submit(self._write, step, leaves, before)
            else:
                self._write(step, leaves, before)
            self._pending = step

    def _write(self, step, leaves, before):
        before()
        manifest = json.dumps(self._identity.manifest(step)).encode()
        with full_disk_as_oserror(self._directory):
            if self._manager is None:
                self._manager = self._opened()
            # Without force, Orbax silently skips a save while another is in progress.
            leaves = {**leaves, MANIFEST: np.frombuffer(manifest, np.uint8)}
            tree: Any = {**leaves, DIGEST: digest(leaves)}
            with saving():
                self._saving = self._manager.save_async(step, tree, force=True)
            if self._writer:
                self._finish()
                self._complete(step)

    def _finish(self):
        """Returns when Orbax has written."""
        begun, self._saving = self._saving, None
        if begun is not None:
            begun.result()  # else a thread and three file descriptors of it stay
        self._manager.wait()

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
        with refusal_as_oserror(self._directory):
            steps = collectives.run_on_primary(self._steps)
        for step in steps:
            loaded, problem = self._attempt(step, like)
            problems = list(filter(None, collectives.allgather_object(problem)))
            if not problems:
                return loaded
            for item in problems:
                if 'system' in item:
                    raise OSError(*item['system'])
            if step == steps[0]:
                self._refuse_another_state(steps, like)
            self._quarantine(step, problems[0]['wrong'])
        if steps:
            raise Damaged(
                f'{self._directory}: no usable checkpoint is left of {len(steps)}; what was '
                f'there is in {self._damaged}. {REMEDY}'
            )
        return None

    def _attempt(self, step, like):
        """(tree, None), or (None, {'wrong': words}), or (None, {'system': what an OSError
        takes})."""
        try:
            return self._load(step, like), None
        except _Wrong as error:
            return None, {'wrong': str(error)}
        except Exception as error:  # Orbax raises what it likes on damaged files
            return None, diagnosis(error, self._directory / str(step))

    def _load(self, step, like):
        shapes = stored(like)
        saved = self._read(step, shapes)
        if bytes(saved.pop(DIGEST)) != bytes(digest(saved)):
            raise _Wrong('its contents are not what was saved (SHA-256)')
        manifest = json.loads(saved.pop(MANIFEST).tobytes())
        difference = self._identity.difference(manifest, step)
        if difference:
            raise _Wrong(difference)
        differ = [path for path, leaf in shapes.items() if not is_stored(saved[path], leaf)]
        if differ:
            raise _Wrong(f'other shapes than are trained: {differ[:3]}')
        return rebuilt(like, saved)

    def _read(self, step, shapes):
        """{path: array} of a checkpoint: those of `shapes`, the digest and the manifest."""
        from orbax.checkpoint import v1 as ocp

        # Each process by itself: where one finds damage, Orbax in the others would wait for it.
        alone = ocp.options.MultiprocessingOptions(
            primary_host=hosts.index(), active_processes={hosts.index()}
        )
        wanted: Any = {DIGEST: np.zeros(32, np.uint8)}
        for path, leaf in shapes.items():
            wanted[path] = np.zeros(leaf.shape, leaf.dtype)
        with ocp.Context(multiprocessing_options=alone):
            path = str(self._directory.absolute() / str(step))
            # Orbax counts its loads, and the processes must count alike: what cannot be described
            # is loaded too.
            try:
                described: Any = ocp.metadata(path).metadata
                held = dict(described)
                for name, leaf in shapes.items():
                    if name in held and is_stored(held[name], leaf):
                        wanted[name] = np.zeros(held[name].shape, leaf.dtype)
                wanted[MANIFEST] = np.zeros(held[MANIFEST].shape, np.uint8)
            except Exception:  # Orbax raises what it likes on damaged files
                pass
            restored: Any = ocp.load(path, wanted)
        if MANIFEST not in wanted:
            raise _Wrong('it does not say whose it is')
        return dict(restored)

    def discard(self):
        """Moves what is left to the folder `damaged`."""
        for step in collectives.run_on_primary(self._steps):
            self._quarantine(step, '')

    def _steps(self):
        """Of all checkpoints, the newest first."""
        if self._manager is None:  # the folder was empty
            return []
        steps = [checkpoint.step for checkpoint in self._manager.checkpoints]
        return sorted(steps, reverse=True)

    def _refuse_another_state(self, steps, like):
        """A changed configuration is no damage; where one of the checkpoints fits, it was not
        changed."""
        wanted = signatures(stored(like))
        shapes = list(map(self._shapes, steps))
        # by checkpoint, the arrays that it or this configuration alone has
        differ = [sorted(saved.items() ^ wanted.items(), key=str) for saved in shapes]
        # Where the newest does not say what it holds it is damaged, and no other configuration's.
        fits_none = all(differ) and bool(shapes[0])
        judged = [fits_none, str(differ[0][:3])]
        fits_none, difference = collectives.run_on_primary(lambda: judged)
        if fits_none:
            raise Refusal(
                f'{self._directory}: its checkpoints hold other arrays than this configuration '
                f'trains ({difference}, ...); allowed: a change that keeps the shapes of '
                'parameters and optimizer state. Choose another --workdir'
            )

    def _shapes(self, step):
        """{path: (shape, dtype)} that the checkpoint says it holds; empty where it does not say."""
        try:
            metadata: Any = self._manager.metadata(step).metadata
            arrays = dict(metadata)
            return signatures({path: arrays[path] for path in arrays.keys() - {*_OURS}})
        except Exception:  # Orbax raises what it likes on damaged files
            return {}

    @property
    def _damaged(self):
        return self._directory.parent / 'damaged'

    def _quarantine(self, step, why):
        # Orbax lists a folder when it is opened: after the move it is opened anew.
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
        self._open()

    def wait(self):
        """Returns when the last save is complete on the disk."""
        # a save that failed is not pending: nobody tells it twice
        pending, self._pending = self._pending, self.saved
        writing, self._writing = self._writing, None
        if writing:
            writing.result()
        if self._manager is None:  # nothing was saved
            return
        with full_disk_as_oserror(self._directory):
            self._finish()
            if not self._writer and hosts.is_primary() and pending != self.saved:
                self._complete(pending)
        self.saved = self._pending = pending

    def close(self):
        """Whoever wants to hear of a save that failed has asked `wait`; what ends a run is not
        hidden behind it."""
        if self._writer:
            self._writer.shutdown()
        with contextlib.suppress(Exception):
            if self._manager is not None:
                self._manager.close()
