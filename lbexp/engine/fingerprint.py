"""What a run's numbers come from beside its configuration: the code of its parts, and its data."""

import ast
import hashlib
import importlib.util
import inspect
import json
import os
import pathlib
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

import jax
import numpy as np

from lbexp import config as configs
from lbexp.config import fields, lookup

_LBEXP = pathlib.Path(configs.__file__).resolve().parents[1]
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
    content.

    Args:
        trials: resolved configurations.
        experiment: the experiment file.
    """
    digests, parts = {}, _parts(trials)
    for kind, name in dict.fromkeys((kind, part['name']) for kind, part in parts):
        for file, path in _files_of_part(kind, name):
            digests[f'code of {kind} {name!r} ({file})'] = _code(path)
    for kind, part in parts:
        for path in _named_files(part):
            digests[f'file {path}'] = _content(pathlib.Path(path))
        if kind == 'workload':
            arguments = ', '.join(
                f'{name}={value!r}' for name, value in sorted(part.items()) if name != 'name'
            )
            digests[f'data of workload {part["name"]}({arguments})'] = _data(
                lookup.build(kind, part)
            )
    if experiment is not None:
        path = pathlib.Path(experiment).resolve()
        for name, file in {path.name: path, **_imported(path, None)}.items():
            digests[f'code of the experiment ({name})'] = _code(file)
    return digests


def joined(fingerprint: dict[str, str]) -> str:
    """One digest for all."""
    return _joined([f'{name} {value}' for name, value in sorted(fingerprint.items())])


def _parts(trials):
    """(kind, part) of every different part, those inside others included, in the order of their
    text."""
    by_text = {}
    for trial in trials:
        for field, allowed in fields.PARTS.items():
            if field not in _NOT_TRAINING:
                for part in _within(trial[field]):
                    by_text[f'{allowed.kind} {json.dumps(part, sort_keys=True)}'] = (
                        allowed.kind,
                        part,
                    )
    return [by_text[text] for text in sorted(by_text)]


def _within(value: Any) -> Iterator[dict]:
    """The parts in a value of a configuration."""
    if isinstance(value, dict):
        if isinstance(value.get('name'), str):
            yield value
        inner = [held for name, held in value.items() if name != 'name']
    else:
        inner = value if isinstance(value, list) else []
    for held in inner:
        yield from _within(held)


def _files_of_part(kind: str, name: str) -> list[tuple[str, pathlib.Path]]:
    """(name, file) of the code of a part: none where it is installed."""
    function = lookup.find(kind, name)
    homes = [
        getattr(inspect.unwrap(function), '__module__', None),
        name.partition(':')[0] if ':' in name else None,
    ]
    files = {}
    for home in homes:
        module = sys.modules.get(home) if home else None
        path = _source(module)
        if path is None:
            continue
        if _LBEXP in path.parents:
            files[path.relative_to(_LBEXP.parent).as_posix()] = path
        elif _is_of_the_user(path):
            files |= {_name(module, path): path, **_imported(path, module)}
    return list(files.items())


def _imported(path: pathlib.Path, module: ModuleType | None) -> dict[str, pathlib.Path]:
    """{name: file} of the user's modules that a file of the user's imports, and of what those
    import."""
    files, waiting, seen = {}, [(path, module)], {path}
    while waiting:
        here, importer = waiting.pop()
        for imported in _modules(here, importer):
            file = _source(imported)
            if file is not None and file not in seen and _is_of_the_user(file):
                seen.add(file)
                files[_name(imported, file)] = file
                waiting.append((file, imported))
    return files


def _modules(path, importer):
    """The modules that a file imports, packages above them included; those that were not loaded yet
    are looked for."""
    package = '' if importer is None else importer.__spec__.parent if importer.__spec__ else ''
    names = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = (
                package.split('.')[: len(package.split('.')) - node.level + 1] if node.level else []
            )
            base = '.'.join([*above, *([node.module] if node.module else [])])
            names |= {base, *(f'{base}.{alias.name}' for alias in node.names)}
    every = {name.rsplit('.', depth)[0] for name in names for depth in range(name.count('.') + 1)}
    modules = [sys.modules.get(name) or _unloaded(name) for name in sorted(every - {''})]
    return [module for module in modules if module is not None]


def _unloaded(name):
    """A module that an import inside a function would load, without running it; None: there is
    none."""
    parent = name.rpartition('.')[0]
    if parent and parent not in sys.modules:
        return None
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    module = ModuleType(name)
    module.__file__, module.__spec__ = spec.origin, spec
    return module


def _source(module):
    file = getattr(module, '__file__', None)
    path = pathlib.Path(file).resolve() if file else None
    return path if path is not None and path.suffix == '.py' and path.is_file() else None


def _is_of_the_user(path: pathlib.Path) -> bool:
    """Neither lbexp's, nor Python's, nor installed."""
    if {'site-packages', 'dist-packages'} & set(path.parts):
        return False
    library = [
        sysconfig.get_path('stdlib'),
        sysconfig.get_path('platstdlib'),
        *site.getsitepackages(),
    ]
    return (
        not any(pathlib.Path(folder).resolve() in path.parents for folder in library)
        and _LBEXP not in path.parents
    )


def _name(module, path):
    """A name that is the same on another machine: that of the module, as a file."""
    parts = module.__name__.split('.')
    return (
        path.name
        if parts == ['__main__']
        else '/'.join(parts + ['__init__'] * (path.stem == '__init__')) + '.py'
    )


def _code(path: pathlib.Path) -> str:
    return _joined([_said(_tree(path))])


def _tree(path):
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise ValueError(f'{path}: {error}') from error


def _said(node: Any) -> str:
    """A syntax tree as text, without positions, docstrings, and what differs between versions of
    Python."""
    if isinstance(node, list):
        return '[' + ','.join(_said(item) for item in node if not _is_text(item)) + ']'
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.expr_context):
        return ''
    filled = [
        (name, value) for name, value in ast.iter_fields(node) if value is not None and value != []
    ]
    fields = [f'{name}={_said(value)}' for name, value in filled if name != 'kind']
    return f'{type(node).__name__}({",".join(fields)})'


def _is_text(node):
    """A docstring, or any other text that does nothing."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _named_files(part: dict) -> list[str]:
    """Files that the arguments of a part name."""
    texts = [value for name, value in part.items() if name != 'name']
    flat = [text for value in texts for text in (value if isinstance(value, list) else [value])]
    names = [
        text
        for text in flat
        if isinstance(text, str) and 0 < len(text) < _LONGEST and '\0' not in text
    ]
    return [name for name in names if os.path.isfile(name)]


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
    said = []
    for name in ('train', 'validation', 'test'):
        source = getattr(workload, name)
        if source is not None:
            arrays = source.arrays
            if source.feed is not None:
                arrays = source.feed(0, 0, min(_SAMPLE, source.size))
            said.append(f'{name} {source.size}')
            for path, leaf in jax.tree_util.tree_flatten_with_path(arrays)[0]:
                said.append(f'{jax.tree_util.keystr(path)} {_array(leaf)}')
    return _joined(said)


def _array(leaf) -> str:
    if id(leaf) not in _arrays or _arrays[id(leaf)][0] is not leaf:
        if len(_arrays) >= _REMEMBERED:
            _arrays.clear()
        values = np.ascontiguousarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
        digest = hashlib.sha256(f'{values.dtype} {values.shape}'.encode())
        digest.update(values.reshape(-1).view(np.uint8))  # pyrefly: ignore[bad-argument-type]
        _arrays[id(leaf)] = leaf, digest.hexdigest()
    return _arrays[id(leaf)][1]


def _is_key(leaf):
    return hasattr(leaf, 'dtype') and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _joined(texts: Iterable[str]) -> str:
    return hashlib.sha256('\n'.join(texts).encode()).hexdigest()
