"""The arrays of a tree by name, as a checkpoint holds them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np


def named(tree: Any) -> Iterator[tuple[str, Any]]:
    """(path, host array) of each leaf. Arrays are copied: the device buffer behind a view may be
    donated."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path)
        if isinstance(leaf, jax.ShapeDtypeStruct):
            yield name, _data_shape(leaf)
        elif is_key(leaf):
            # NumPy has no type of random keys: they are kept as their numbers.
            yield name, np.array(jax.random.key_data(leaf))
        else:
            yield name, np.array(leaf)


def slashed(tree: Any, prefix: str = '') -> list[str]:
    """The path of each leaf as other programs write it, 'params/Dense_0/kernel'."""
    names = []
    for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]:
        steps = list(map(_step, path))
        if prefix:
            steps.insert(0, prefix)
        names.append('/'.join(steps))
    return names


def stored(tree: Any) -> dict[str, Any]:
    """The named arrays as a checkpoint holds them: without the empty ones, which Orbax refuses, and
    in their `stored_shape`."""
    arrays = {}
    for path, leaf in named(tree):
        if not leaf.size:
            continue
        shape = stored_shape(leaf.shape)
        if isinstance(leaf, jax.ShapeDtypeStruct):
            arrays[path] = jax.ShapeDtypeStruct(shape, leaf.dtype)
        else:
            arrays[path] = leaf.reshape(shape)
    return arrays


def stored_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Without a first axis of one, as a single trial has: TensorStore copies such an array before
    it writes it."""
    if len(shape) > 1 and shape[0] == 1:
        return tuple(shape[1:])
    return tuple(shape)


def is_stored(array: Any, leaf: Any) -> bool:
    """Whether an array of a checkpoint has the shape of this one of `stored`, or that with a first
    axis of one, as earlier versions stored it."""
    return tuple(array.shape) in (tuple(leaf.shape), (1, *leaf.shape))


def rebuilt(like: Any, arrays: Mapping[str, Any]) -> Any:
    """A tree like `like` of arrays that `stored` has named."""
    leaves = []
    for path, leaf in named(like):
        values = arrays[path] if leaf.size else np.zeros(leaf.shape, leaf.dtype)
        leaves.append(values.reshape(leaf.shape))
    return jax.tree.map(as_key, jax.tree.unflatten(jax.tree.structure(like), leaves), like)


def signatures(leaves: dict[str, Any]) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """(shape, dtype) of named arrays."""
    described = {}
    for path, leaf in leaves.items():
        described[path] = tuple(leaf.shape), np.dtype(leaf.dtype)
    return described


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
    if is_key(like):
        return jax.random.wrap_key_data(data)
    return data


def _step(entry):
    """A step of a path, without the brackets and dots of its kind of node."""
    for field in ('key', 'idx', 'name'):
        if hasattr(entry, field):
            return str(getattr(entry, field))
    return str(entry)


def _data_shape(leaf):
    if not is_key(leaf):
        return leaf
    return jax.eval_shape(jax.random.key_data, leaf)


def is_key(leaf: Any) -> bool:
    """Whether an array holds random keys."""
    dtype = getattr(leaf, 'dtype', None)
    return dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)
