"""Experiment files."""

import ast
import inspect
import pathlib
import runpy

from ml_collections import ConfigDict, FrozenConfigDict

from lbexp.config import lookup
from lbexp.config._overriding import fill_in
from lbexp.errors import Refusal


def experiment_files() -> dict[str, pathlib.Path]:
    """lbexp's own experiment files, by name: those of the package, or of the repository."""
    package = pathlib.Path(__file__).parent.parent
    folder = package / 'experiments'
    if (package.parent / 'pyproject.toml').exists():
        folder = package.parent / 'experiments'
    return {file.stem: file for file in sorted(folder.glob('*.py'))}


def experiment_file(argument: str) -> str:
    """The path of an experiment file, as it was written, or behind the name of one of lbexp's."""
    path, _, _ = argument.partition(':')
    if pathlib.Path(path).is_file():
        return path
    return str(experiment_files().get(path, path))


def docstring(argument: str | None) -> str:
    """What an experiment file says of itself; '': nothing, or there is none."""
    if argument is None:
        return ''
    file = pathlib.Path(experiment_file(argument))
    return ast.get_docstring(ast.parse(file.read_bytes())) or ''


def load(argument: str) -> ConfigDict:
    """Reads 'experiments/lamb.py' or 'experiments/lamb.py:argument', or 'lamb' of lbexp's own, and
    returns what its get_config returns, filled in.

    Raises:
        Refusal: no such file, no get_config, or an argument it does not take. What goes wrong
            inside it passes.
    """
    _, _, text = argument.partition(':')
    path = experiment_file(argument)
    if not pathlib.Path(path).is_file():
        what = 'a folder' if pathlib.Path(path).is_dir() else 'no file'
        beside = [*map(str, pathlib.Path(path).parent.glob('*.py')), *experiment_files()]
        raise Refusal(
            f'{what} {path!r}; allowed: an experiment file.{lookup.nearest(path, beside)}'
        )
    get_config = runpy.run_path(path).get('get_config')
    if not callable(get_config):
        raise Refusal(f'{path} has no get_config()')
    arguments = [text] if text else []
    # A TypeError of the call itself may come from inside the function, and is not ours to explain.
    try:
        inspect.signature(get_config).bind(*arguments)
    except TypeError as error:
        raise Refusal(f'{path}: get_config: {error}') from error
    config = get_config(*arguments)
    # Overrides are set in place.
    if isinstance(config, FrozenConfigDict):
        config = ConfigDict(config, type_safe=False)  # pyrefly: ignore[bad-argument-type]: it is taken
    if not isinstance(config, ConfigDict):
        raise Refusal(
            f'{path}: get_config() returned {config!r}; allowed: lbexp.config.base(), '
            'with its fields set'
        )
    fill_in(config)
    return config
