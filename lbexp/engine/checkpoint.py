"""Checkpoints of a cohort with Orbax: the only file that imports it. Every process of a job calls them alike."""

import concurrent.futures
import contextlib
import errno
import hashlib
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lbexp.parallel import hosts

_DIGEST = '/sha256'


class Damaged(Exception):
    """There are checkpoints, and none of them is what was saved."""


class Checkpoints:
    """Saves and restores a tree of arrays by step. A save that was cut off is not seen by the next reader.

    Each checkpoint holds the SHA-256 of what is in it: Orbax restores flipped bits without a word.
    """

    def __init__(self, directory: pathlib.Path, keep: int = 2, warn: Callable[[str], Any] = lambda line: None):
        # Orbax takes a second to import; a run that is refused before it trains should not wait for it.
        from orbax.checkpoint import v1 as ocp

        directory.mkdir(parents=True, exist_ok=True)
        self._open = lambda: ocp.training.Checkpointer(
            directory.absolute(),
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
            cleanup_tmp_directories=True,
        )
        self._directory, self._warn = directory, warn
        self._manager = self._open()
        # Even Orbax's asynchronous save keeps its caller for 60 ms. The processes of a job must meet in it: they wait.
        self._writer = concurrent.futures.ThreadPoolExecutor(1) if hosts.count() == 1 else None
        self._writing = None
        self.saved = self._pending = self._manager.latest and self._manager.latest.step

    def save(self, step: int, tree: Any, before: Callable[[], Any] = lambda: None):
        """Copies `tree` and writes it in the background; a second save waits for the first.

        Args:
            before: called in the background first.

        Raises:
            OSError: the disk is full; what was saved before is not touched. So does `wait`, for what was begun here.
        """
        if self._pending is None or self._pending < step:
            self.wait()
            leaves = {path: leaf for path, leaf in _named(tree) if leaf.size}
            if self._writer:
                self._writing = self._writer.submit(self._write, step, leaves, before)
            else:
                self._write(step, leaves, before)
            self._pending = step

    def _write(self, step, leaves, before):
        before()
        with self._disk_full_is_told():
            # Without force, Orbax silently skips a save while another is in progress.
            self._manager.save_async(step, {**leaves, _DIGEST: _digest(leaves)}, force=True)

    def restore(self, like: Any) -> Any | None:
        """The newest sound checkpoint as a tree of NumPy arrays with the structure of `like`; None: there is none.

        A checkpoint that is not what was saved is moved to the folder `damaged`, with a warning.

        Raises:
            Damaged: there are checkpoints, and none is sound.
            ValueError: all hold other arrays than `like`.
        """
        steps = hosts.lead(lambda: sorted((one.step for one in self._manager.checkpoints), reverse=True))
        for step in steps:
            try:
                found, problem = self._load(step, like), None
            except Exception as error:  # Orbax raises what it likes on damaged files
                found, problem = None, (str(error).splitlines() or [repr(error)])[0][:200]
            problems = [one for one in hosts.exchange(problem) if one]
            if not problems:
                return found
            if step == steps[0]:
                self._refuse_another_state(steps, like)
            self._quarantine(step, problems[0])
        if steps:
            raise Damaged(
                f'{self._directory}: no usable checkpoint is left of {len(steps)}; what was there is in '
                f'{self._damaged}. To begin anew, choose another --workdir, or delete this one'
            )
        return None

    def _load(self, step, like):
        from orbax.checkpoint import v1 as ocp

        # Orbax refuses empty arrays, so they were not saved; they hold nothing.
        empty = {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in _named(like)}
        wanted = {path: leaf for path, leaf in empty.items() if leaf.size}
        # Each process by itself: where one finds damage, Orbax in the others would wait for it.
        alone = ocp.options.MultiprocessingOptions(primary_host=hosts.index(), active_processes={hosts.index()})
        with ocp.Context(multiprocessing_options=alone):
            path = self._directory.absolute() / str(step)
            loaded = dict(ocp.load(path, {**wanted, _DIGEST: np.zeros(32, np.uint8)}))
        if bytes(loaded.pop(_DIGEST)) != bytes(_digest(loaded)):
            raise ValueError('its contents are not what was saved (SHA-256)')
        if differ := [path for path, leaf in wanted.items() if np.shape(loaded[path]) != leaf.shape]:
            raise ValueError(f'other shapes than are trained: {differ[:3]}')
        leaves = [{**empty, **loaded}[path] for path in empty]
        rebuilt = jax.tree.unflatten(jax.tree.structure(like), leaves)
        return jax.tree.map(_as_key, rebuilt, like)

    def _refuse_another_state(self, steps, like):
        """A changed configuration is no damage; where one of the checkpoints fits, it was not changed."""
        wanted = {path: (leaf.shape, np.dtype(leaf.dtype)) for path, leaf in _named(like) if leaf.size}
        differ = [sorted(self._shapes(step).items() ^ wanted.items(), key=str) for step in steps]
        told = hosts.lead(lambda: str(differ[0][:3]) if all(differ) and self._shapes(steps[0]) else None)
        if told:
            raise ValueError(
                f'{self._directory}: its checkpoints hold other arrays than this configuration trains ({told}, ...); '
                'allowed: a change that keeps the shapes of parameters and optimizer state. Choose another --workdir'
            )

    def _shapes(self, step):
        """{path: (shape, dtype)} that the checkpoint says it holds; empty where it does not say."""
        try:
            said = dict(self._manager.metadata(step).metadata)
            return {path: (tuple(one.shape), np.dtype(one.dtype)) for path, one in said.items() if path != _DIGEST}
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

        hosts.lead(move)
        self._warn(f'checkpoint {self._directory / str(step)} is damaged ({why}); moved to {target}')
        self._manager = self._open()
        self.saved = self._pending = self._manager.latest and self._manager.latest.step

    def wait(self):
        """Returns when the last save is complete on the disk."""
        pending, self._pending = self._pending, self.saved  # a save that failed is not pending: nobody tells it twice
        writing, self._writing = self._writing, None
        if writing:
            writing.result()
        with self._disk_full_is_told():
            self._manager.wait()
        self.saved = self._pending = pending

    @contextlib.contextmanager
    def _disk_full_is_told(self):
        try:
            yield
        except Exception as error:  # TensorStore has its own words for it
            if not any(word in str(error) for word in ('No space left', 'RESOURCE_EXHAUSTED', 'ENOSPC')):
                raise
            raise OSError(errno.ENOSPC, 'No space left on device', str(self._directory)) from error

    def close(self):
        """Whoever wants to hear of a save that failed has asked `wait`; what ends a run is not hidden behind it."""
        if self._writer:
            self._writer.shutdown()
        with contextlib.suppress(Exception):
            self._manager.close()


def _digest(leaves):
    """SHA-256 of named arrays, with their names, types and shapes."""
    digest = hashlib.sha256()
    for path in sorted(leaves):
        array = np.ascontiguousarray(leaves[path])
        digest.update(f'{path} {array.dtype} {array.shape} '.encode())
        digest.update(array.reshape(-1).view(np.uint8))
    return np.frombuffer(digest.digest(), np.uint8)


def _named(tree):
    """(path, host array) of each leaf. Arrays are copied: the device buffer behind a view may be donated."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    for path, leaf in leaves:
        if isinstance(leaf, jax.ShapeDtypeStruct):
            yield jax.tree_util.keystr(path), _data_shape(leaf)
        else:
            data = jax.random.key_data(leaf) if _is_key(leaf) else leaf
            yield jax.tree_util.keystr(path), np.array(data)


def _data_shape(leaf):
    if not _is_key(leaf):
        return leaf
    return jax.eval_shape(jax.random.key_data, leaf)


def _is_key(leaf):
    return hasattr(leaf, 'dtype') and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _as_key(data, like):
    return jax.random.wrap_key_data(data) if _is_key(like) else data
