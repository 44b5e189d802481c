"""Configurations as plain data."""

import numbers
import pathlib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict, FrozenConfigDict, config_dict

from lbexp.errors import Refusal


def plain(config: Any, path: str = '') -> Any:
    """The configuration, or a value of one, as dicts, lists and scalars: what json holds.

    Arrays and scalars of NumPy and JAX are given as lists and numbers, dtypes by their names, paths
    as text.

    Raises:
        Refusal: a value that is no plain data, such as a function; a required value that is not
            set.
    """
    # By its type: a float64 of NumPy is a float to isinstance.
    if config is None or isinstance(config, str) or type(config) in (bool, int, float):
        return config
    if isinstance(config, ConfigDict | FrozenConfigDict):
        # not items(), which stops at a required value that is not set, and does not say where
        return {str(name): plain(_value(config, name, path), _join(path, name)) for name in config}
    if isinstance(config, Mapping):
        return {str(name): plain(value, _join(path, name)) for name, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [plain(value, f'{path}[{i}]') for i, value in enumerate(config)]
    return _of_scalar(config, path)


def _value(config, name, path):
    try:
        return config[name]
    except config_dict.RequiredValueError as error:
        where = _join(path, name)
        raise Refusal(
            f'{where}: not set; allowed: --config.{where}=VALUE, which the experiment file requires'
        ) from error


def _of_scalar(value, path):
    import numpy as np  # a tenth of a second, for --help

    if isinstance(value, range):
        return list(value)
    if isinstance(value, pathlib.PurePath):
        return str(value)
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    # an array or a scalar, of NumPy or JAX
    if hasattr(value, 'dtype') and hasattr(value, 'tolist'):
        return plain(np.asarray(value).tolist(), path)
    if hasattr(value, 'dtype') and callable(value):  # jnp.bfloat16
        return np.dtype(value.dtype).name  # pyrefly: ignore[missing-attribute]: it was asked
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):  # such as a fraction
        return float(value)
    what = ' '.join(repr(value).split())[:80]
    raise Refusal(
        f'{path or "config"}: found {what}; allowed: plain data: numbers, text, None, lists, '
        "dicts; a function by its name 'package.module:function' where a part is named"
    )


def _join(path, name):
    return f'{path}.{name}' if path else str(name)
