"""Weights as files that other programs read: plain data, never pickled."""

import io
import json
import os
import pathlib
import shutil
import uuid
from typing import Any

import jax
import numpy as np

from lbexp.engine.metrics_file import replace
from lbexp.engine.named import slashed
from lbexp.errors import Refusal
from lbexp.local_path import local_path

_METADATA = '__metadata__'  # safetensors has it in its header, the others beside the weights


def export(
    tree: Any, described: dict[str, Any], path: str | os.PathLike[str], format: str
) -> dict[str, np.ndarray]:
    """Writes the arrays of a tree, named by their paths ('params/Dense_0/kernel').

    A kill leaves nothing, or what was there before, under the name.

    Args:
        described: what they are, as JSON holds it.
        path: of the file; of Orbax a folder that is not there.

    Returns:
        The arrays by name.

    Raises:
        Refusal: another format, a folder or name that cannot be written, or arrays that the format
            cannot hold.
        OSError: the disk refuses.
    """
    if format not in FORMATS:
        raise Refusal(f'format: found {format!r}; allowed: {", ".join(FORMATS)}')
    target = local_path(os.fspath(path), 'the file to write')
    if not target.absolute().parent.is_dir():
        raise Refusal(f'{target}: found no folder {target.parent}; allowed: a file in one')
    arrays = named(tree)
    FORMATS[format](arrays, described, target)
    return arrays


def _safetensors(arrays, described, target):
    try:
        from safetensors.numpy import save
    except ModuleNotFoundError as error:
        rule = "allowed: npz, msgpack, orbax; or pip install '.[export]'"
        raise Refusal(f'format: found safetensors, and {error}; {rule}') from error
    texts = {name: _text(value) for name, value in described.items()}
    _write(target, save(arrays, texts))


def _text(value):
    return value if isinstance(value, str) else json.dumps(value)


def _npz(arrays, described, target):
    for name, values in arrays.items():
        if values.dtype.isbuiltin != 1:  # bfloat16 and the like are NumPy's by an extension
            raise Refusal(
                f'format: found npz with {name} of {values.dtype}, which it cannot hold; allowed: '
                'safetensors, msgpack, orbax'
            )
    # whole in memory, so that it is on the disk whole or not at all
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays, **{_METADATA: np.array(json.dumps(described))})
    _write(target, file.getvalue())


def _msgpack(arrays, described, target):
    from flax import serialization

    tree = {**_nested(arrays), _METADATA: json.dumps(described)}
    _write(target, serialization.msgpack_serialize(tree))


def _write(target, content):
    if target.is_dir():
        raise Refusal(f'{target}: found a folder; allowed: a file')
    replace(target, content)


def _orbax(arrays, described, target):
    from orbax.checkpoint import v1 as ocp

    if target.exists() or target.is_symlink():
        raise Refusal(f'{target}: it is there already; allowed: the name of a new folder')
    empty = [name for name, values in arrays.items() if not values.size]
    if empty:
        raise Refusal(f'format: found orbax with {empty[0]}, which is empty; allowed: safetensors')
    # Beside it, then renamed: Orbax has drafts of its own, but leaves them behind.
    draft = target.with_name(f'{target.name}.{uuid.uuid4().hex}.part').absolute()
    tree: Any = _nested(arrays)
    try:
        ocp.save(str(draft), tree, custom_metadata=described)
        os.rename(draft, target)
    finally:
        # Orbax writes a draft of the draft, with a longer name.
        for left in draft.parent.glob(f'{draft.name}*'):
            shutil.rmtree(left)


def read(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a file, by name; whatever describes them is left out.

    Raises:
        Refusal: another format, or a file that is none of its format.
        OSError: it cannot be read.
    """
    reader = READERS.get(path.suffix.removeprefix('.'))
    if reader is None:
        raise Refusal(f'{path}: found no known format; allowed: {", ".join(READERS)}')
    content = path.read_bytes()
    try:
        arrays = reader(content)
    except ModuleNotFoundError as error:
        rule = "allowed: npz, msgpack; or pip install '.[export]'"
        raise Refusal(f'{path}: {error}; {rule}') from error
    except Exception as error:  # each library raises what it likes
        words = (str(error).splitlines() or [repr(error)])[0][:200]
        raise Refusal(
            f'{path}: found no weights ({words}); allowed: what lbexp.export wrote'
        ) from error
    arrays.pop(_METADATA, None)
    return arrays


def _from_safetensors(content):
    from safetensors.numpy import load

    return load(content)


def _from_npz(content):
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _from_msgpack(content):
    from flax import serialization

    tree: Any = serialization.msgpack_restore(content)
    tree.pop(_METADATA, None)
    return named(tree)


READERS = {'safetensors': _from_safetensors, 'npz': _from_npz, 'msgpack': _from_msgpack}
FORMATS = {'safetensors': _safetensors, 'orbax': _orbax, 'msgpack': _msgpack, 'npz': _npz}


def named(tree: Any) -> dict[str, np.ndarray]:
    """{path: array}, 'params/Dense_0/kernel'. Rows lie one after another: safetensors writes
    whatever lies in their place."""
    arrays = {}
    for name, leaf in zip(slashed(tree), jax.tree.leaves(tree), strict=True):
        if name in arrays:
            raise Refusal(f'weights: found two named {name}; allowed: names without a slash')
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        arrays[name] = np.array(leaf, order='C')
    return arrays


def _nested(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Dicts in dicts, as Flax has parameters."""
    tree: dict[str, Any] = {}
    for name, values in arrays.items():
        *folders, last = name.split('/')
        node = tree
        for folder in folders:
            node = node.setdefault(folder, {})
        node[last] = values
    return tree
