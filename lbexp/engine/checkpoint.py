"""Checkpoints of a cohort with Orbax: the only file that imports it."""

import pathlib
from typing import Any

import jax
import numpy as np


class Checkpoints:
    """Saves and restores a tree of arrays by step. A save that was cut off is not seen by the next reader."""

    def __init__(self, directory: pathlib.Path, keep: int = 2):
        # Orbax takes a second to import; a run that is refused before it trains should not wait for it.
        from orbax.checkpoint import v1 as ocp

        directory.mkdir(parents=True, exist_ok=True)
        self._manager = ocp.training.Checkpointer(
            directory.absolute(),
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
            cleanup_tmp_directories=True,
        )
        self._saved = self._manager.latest and self._manager.latest.step

    def save(self, step: int, tree: Any):
        """Copies `tree` to the host and writes it in the background; a second save waits for the first."""
        if self._saved is None or self._saved < step:
            self._saved = step
            # Without force, Orbax silently skips a save while another is in progress.
            self._manager.save_async(step, {path: leaf for path, leaf in _named(tree) if leaf.size}, force=True)

    def restore(self, like: Any) -> Any | None:
        """The newest checkpoint as a tree of NumPy arrays with the structure of `like`; None: there is none."""
        latest = self._manager.latest
        if latest is None:
            return None
        # Orbax refuses empty arrays, so they were not saved; they hold nothing.
        empty = {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in _named(like)}
        loaded = self._manager.load(latest.step, {path: leaf for path, leaf in empty.items() if leaf.size})
        leaves = [{**empty, **loaded}[path] for path in empty]
        rebuilt = jax.tree.unflatten(jax.tree.structure(like), leaves)
        return jax.tree.map(_as_key, rebuilt, like)

    def wait(self):
        """Returns when the last save is complete on the disk."""
        self._manager.wait()

    def close(self):
        self._manager.close()


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
