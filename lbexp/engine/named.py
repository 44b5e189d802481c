"""The arrays of a tree by name, as a checkpoint holds them."""

import hashlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np


def named(tree: Any) -> Iterator[tuple[str, Any]]:
    """(path, host array) of each leaf. Arrays are copied: the device buffer behind a view may be
    donated."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    for path, leaf in leaves:
        if isinstance(leaf, jax.ShapeDtypeStruct):
            yield jax.tree_util.keystr(path), _data_shape(leaf)
        else:
            data = jax.random.key_data(leaf) if _is_key(leaf) else leaf
            yield jax.tree_util.keystr(path), np.array(data)


def digest(leaves: dict[str, Any]) -> np.ndarray:
    """SHA-256 of named arrays, with their names, types and shapes."""
    summed = hashlib.sha256()
    for path in sorted(leaves):
        array = np.ascontiguousarray(leaves[path])
        summed.update(f'{path} {array.dtype} {array.shape} '.encode())
        # An array is a buffer, which NumPy's stubs do not say.
        summed.update(array.reshape(-1).view(np.uint8))  # pyrefly: ignore[bad-argument-type]
    return np.frombuffer(summed.digest(), np.uint8)


def as_key(data: Any, like: Any) -> Any:
    """Numbers as random keys where `like` is one."""
    return jax.random.wrap_key_data(data) if _is_key(like) else data


def _data_shape(leaf):
    if not _is_key(leaf):
        return leaf
    return jax.eval_shape(jax.random.key_data, leaf)


def _is_key(leaf):
    return hasattr(leaf, 'dtype') and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
