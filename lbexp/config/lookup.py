"""Names to functions: the file system is the registry."""

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterable


def find(package: str, name: str) -> Callable:
    """The function that `name` means among the parts of `package`.

    find('lbexp.optimizers', 'lamb') is the function `lamb` of lbexp/optimizers/lamb.py; where the package is one
    file (lbexp.schedules), a public function of that file. 'optax:adamw' or 'package.module:function' reaches
    outside.

    Raises:
        ValueError: nothing has this name; the message lists what exists and the nearest match.
    """
    module, _, function = name.partition(':')
    if function:
        return _outside(module, function)
    home = importlib.import_module(package)
    is_folder = hasattr(home, '__path__')
    if is_folder and name.isidentifier() and importlib.util.find_spec(f'{package}.{name}'):
        home = importlib.import_module(f'{package}.{name}')
    found = getattr(home, name, None)
    if not inspect.isfunction(found) or (not is_folder and found.__module__ != package):
        known = names(package)
        what = package.rpartition('.')[2].removesuffix('s')
        raise ValueError(f'no {what} is named {name!r}.{nearest(name, known)} There are: {", ".join(known)}')
    return found


def names(package: str) -> list[str]:
    """What `find` accepts: the files whose function has the file's name, or the functions of a one-file package."""
    home = importlib.import_module(package)
    if hasattr(home, '__path__'):
        files = [m.name for m in pkgutil.iter_modules(home.__path__)]
        return [f for f in files if inspect.isfunction(getattr(importlib.import_module(f'{package}.{f}'), f, None))]
    mine = inspect.getmembers(home, inspect.isfunction)
    return [name for name, f in mine if f.__module__ == package and not name.startswith('_')]


def build(package: str, part: dict, **given):
    """Calls the function that part['name'] means with the rest of `part` as arguments.

    An argument that is itself a part (a dict with a 'name') is built first, in the same package: that is how an
    optimizer holds an inner optimizer. Lists are given as tuples.

    Raises:
        ValueError: the function refuses its arguments.
    """
    arguments = {k: _built(package, v) for k, v in part.items() if k != 'name'}
    function = find(package, part['name'])
    try:
        return function(**given, **arguments)
    except (ValueError, TypeError) as error:
        raise ValueError(f'{part["name"]}: {error}') from error


def parameters(function: Callable) -> dict[str, inspect.Parameter]:
    """The parameters of `function` that may be given by name."""
    positional_only = inspect.Parameter.POSITIONAL_ONLY
    signature = inspect.signature(function).parameters
    return {name: p for name, p in signature.items() if p.kind is not positional_only}


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' when something in `known` resembles `name`, else ''."""
    match = difflib.get_close_matches(name, list(known), 1)
    return f' Did you mean {match[0]!r}?' if match else ''


def _built(package, value):
    if isinstance(value, dict) and 'name' in value:
        return build(package, value)
    if isinstance(value, (list, tuple)):
        return tuple(_built(package, v) for v in value)
    return value


def _outside(module, function):
    try:
        return getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise ValueError(f'{module}:{function}: {error}') from error
    except AttributeError as error:
        public = [n for n in dir(importlib.import_module(module)) if not n.startswith('_')]
        hint = nearest(function, public)
        raise ValueError(f'module {module!r} has no {function!r}.{hint}') from error
