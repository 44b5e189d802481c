"""What a run's numbers come from beside its configuration: the code of its parts, and its data."""

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from lbexp.config import fields, lookup
from lbexp.engine import initial_weights
from lbexp.engine.named import is_key
from lbexp.engine.source_code import code, files_of_part, imported, is_of_lbexp
from lbexp.engine.sources import sources

_WHOLE = 256 * 2**20  # bytes of a file that are read whole; of a larger one, this many blocks are
_BLOCKS, _BLOCK = 64, 2**20
_SAMPLE = 64  # examples of a stream
_REMEMBERED = 32  # arrays
_LONGEST = 4096  # characters of a path
# a study chooses trials, which config.json lists, and reads rows: it computes none
_NOT_TRAINING = ('study',)
# id of an array -> (the array, its digest): a data set is loaded once, and digested once
_arrays = {}


def fingerprint(trials: Iterable[dict], experiment: str | None = None) -> dict[str, str]:
    """SHA-256, by what it is of: 'code of optimizer ... (FILE)', 'data of workload ...', 'file
    ...'.

    Code is compared by its syntax tree, without comments and docstrings. Of lbexp's parts it is the
    file of the part; the rest of lbexp, and what is installed, is environment. Of the user's it is
    the file and every file of the user's that it imports. Data is the content of the workload's
    arrays; of a stream its size and a sample of its examples; of a file that an argument names, its
    content. Weights that a trial begins from are all of their arrays.

    Args:
        trials: resolved configurations.
        experiment: the experiment file.
    """
    digests, parts = {}, _parts(trials)
    named = dict.fromkeys((kind, part['name']) for kind, part in parts)
    for kind, name in named:
        for file, path in files_of_part(kind, name).items():
            digests[f'code of {kind} {name!r} ({file})'] = code(path)
    for kind, part in parts:
        for path in _named_files(part):
            digests[f'file {path}'] = _content(pathlib.Path(path))
        if kind == 'workload':
            digests[f'data of workload {_call(part)}'] = _data(lookup.build(kind, part))
    for trial in trials:
        settings = trial['init_from']
        weights = None if settings['weights'] is None else initial_weights.sha256(settings)
        if weights is not None:
            digests[f'weights of {initial_weights.described(settings)}'] = weights
    if experiment is not None:
        path = pathlib.Path(experiment).resolve()
        for name, file in {path.name: path, **imported(path, None)}.items():
            digests[f'code of the experiment ({name})'] = code(file)
    return digests


def files(trials: Iterable[dict], experiment: str | None = None) -> set[pathlib.Path] | None:
    """The user's own files that a fingerprint is of: code, data that arguments name, the experiment
    file. None: not all of it is in files that can be listed, such as a folder of pictures.

    Args:
        trials: resolved configurations.
        experiment: the experiment file.
    """
    trials = list(trials)
    if any(trial['init_from']['weights'] is not None for trial in trials):
        return None
    paths, parts = set(), _parts(trials)
    for kind, part in parts:
        for path in files_of_part(kind, part['name']).values():
            if not is_of_lbexp(path):
                paths.add(path)
        for path in map(pathlib.Path, _named_paths(part)):
            if not path.is_file():
                return None
            paths.add(path.resolve())
    if experiment is not None:
        path = pathlib.Path(experiment).resolve()
        paths |= {path, *imported(path, None).values()}
    return paths


def joined(fingerprint: dict[str, str]) -> str:
    """One digest for all."""
    return _joined([f'{name} {value}' for name, value in sorted(fingerprint.items())])


def _parts(trials):
    """(kind, part) of every different part, those inside others included, in the order of their
    text."""
    by_text = {}
    for trial in trials:
        for field, allowed in fields.PARTS.items():
            if field in _NOT_TRAINING:
                continue
            for outer in _outermost(trial[field]):
                for kind, part in lookup.nested(allowed.kind, outer):
                    text = f'{kind} {json.dumps(part, sort_keys=True)}'
                    by_text[text] = kind, part
    return [by_text[text] for text in sorted(by_text)]


def _call(part):
    """A part as the call that it is: 'digits_mlp(hidden=[32])'."""
    arguments = [f'{name}={value!r}' for name, value in sorted(_arguments(part).items())]
    return f'{part["name"]}({", ".join(arguments)})'


def _arguments(part):
    return {name: value for name, value in part.items() if name != 'name'}


def _outermost(value: Any) -> list[dict]:
    """The parts that a field of a configuration holds: none, one or several."""
    parts = value if isinstance(value, list) else [value]
    return [part for part in parts if part]


def _named_files(part: dict) -> list[str]:
    """Files that the arguments of a part name."""
    return list(filter(os.path.isfile, _named_paths(part)))


def _named_paths(part: dict) -> list[str]:
    """Files and folders that the arguments of a part name."""
    paths = []
    for value in _arguments(part).values():
        for text in value if isinstance(value, list) else [value]:
            # The system refuses to look for a name that is none.
            is_name = isinstance(text, str) and 0 < len(text) < _LONGEST and '\0' not in text
            if is_name and os.path.exists(text):
                paths.append(text)
    return paths


def _content(path: pathlib.Path) -> str:
    """Of a file's bytes; of a very large one, of its size and evenly spaced blocks."""
    size, digest = path.stat().st_size, hashlib.sha256()
    with open(path, 'rb') as file:
        if size <= _WHOLE:
            return hashlib.file_digest(file, 'sha256').hexdigest()
        digest.update(str(size).encode())
        for block in range(_BLOCKS):
            file.seek(block * (size - _BLOCK) // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()


def _data(workload) -> str:
    """Of all examples of a workload."""
    texts = []
    for name, source in sources(workload).items():
        arrays = source.arrays
        if source.feed is not None:
            arrays = source.feed(0, 0, min(_SAMPLE, source.size))
        texts.append(f'{name} {source.size}')
        for path, leaf in jax.tree_util.tree_flatten_with_path(arrays)[0]:
            texts.append(f'{jax.tree_util.keystr(path)} {_array(leaf)}')
    return _joined(texts)


def _array(leaf) -> str:
    known, digest = _arrays.get(id(leaf), (None, ''))
    if known is not leaf:  # an array that is gone may have had this id
        # What is remembered is held in memory: some arrays, not all that a study has.
        if len(_arrays) >= _REMEMBERED:
            _arrays.clear()
        data = jax.random.key_data(leaf) if is_key(leaf) else leaf
        digest = _array_digest(np.ascontiguousarray(data))
        _arrays[id(leaf)] = leaf, digest
    return digest


def _array_digest(array):
    digest = hashlib.sha256(f'{array.dtype} {array.shape}'.encode())
    digest.update(array.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def _joined(texts: Iterable[str]) -> str:
    return hashlib.sha256('\n'.join(texts).encode()).hexdigest()
