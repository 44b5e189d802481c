"""Experiment files."""

import inspect
import pathlib
import runpy

from ml_collections import ConfigDict, FrozenConfigDict

from lbexp.config import lookup
from lbexp.errors import Refusal


def load(argument: str) -> ConfigDict:
    """Reads 'experiments/lamb.py' or 'experiments/lamb.py:argument' and returns what its get_config
    returns.

    Raises:
        Refusal: no such file, no get_config, or an argument it does not take. What goes wrong
            inside it passes.
    """
    path, _, text = argument.partition(':')
    if not pathlib.Path(path).is_file():
        what = 'a folder' if pathlib.Path(path).is_dir() else 'no file'
        beside = map(str, pathlib.Path(path).parent.glob('*.py'))
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
    return config
