"""Names to functions: the file system is the registry."""

import contextlib
import contextvars
import difflib
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lbexp.errors import Refusal, user_frame

_reads_workdir = contextvars.ContextVar('reads_workdir', default=False)
_trusted = contextvars.ContextVar('trusted', default=frozenset())  # names outside lbexp; None: all of them


def find(package: str, name: str) -> Callable:
    """The function that `name` means among the parts of `package`.

    find('lbexp.optimizers', 'lamb') is the function `lamb` of lbexp/optimizers/lamb.py; where the package is one
    file (lbexp.schedules), a public function of that file. 'optax:adamw' or 'package.module:function' reaches
    outside.

    Raises:
        Refusal: nothing has this name; the message lists what exists and the nearest match. Or, inside `recorded`,
            the name reaches outside lbexp.
    """
    module, _, function = name.partition(':')
    if function:
        _refuse_untrusted(package, name)
        return _outside(module, function)
    home = importlib.import_module(package)
    is_folder = hasattr(home, '__path__')
    if is_folder and name.isidentifier() and importlib.util.find_spec(f'{package}.{name}'):
        home = importlib.import_module(f'{package}.{name}')
    found = getattr(home, name, None)
    if not inspect.isfunction(found) or (not is_folder and found.__module__ != package):
        known = names(package)
        raise Refusal(f'no {_kind(package)} is named {name!r}.{nearest(name, known)} There are: {", ".join(known)}')
    return found


@contextlib.contextmanager
def recorded() -> Iterator[None]:
    """Inside, names come from a workdir, which is data and never code: they mean lbexp's own parts.

    Of the names that reach outside, those are looked up that `trusting` gives.
    """
    token = _reads_workdir.set(True)
    try:
        yield
    finally:
        _reads_workdir.reset(token)


@contextlib.contextmanager
def trusting(outside: Iterable[str] | None) -> Iterator[None]:
    """Inside, a workdir may name these functions outside lbexp: the user named them himself. None: any."""
    token = _trusted.set(None if outside is None else frozenset(outside))
    try:
        yield
    finally:
        _trusted.reset(token)


def outside_names(value: Any) -> set[str]:
    """The texts, anywhere in nested data, that `find` would look up outside lbexp."""
    if isinstance(value, str):
        return {value} if value.partition(':')[2] else set()
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return set()
    return set().union(*map(outside_names, value))


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
        Refusal: the function refuses its arguments. What goes wrong in a function of the user's passes as it is.
    """
    arguments = {k: _built(package, v) for k, v in part.items() if k != 'name'}
    function = find(package, part['name'])
    try:
        return function(**given, **arguments)
    except (ValueError, TypeError) as error:
        if user_frame(error) is not None:
            raise
        raise Refusal(f'{part["name"]}: {error}') from error


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


def _kind(package):
    return package.rpartition('.')[2].removesuffix('s').replace('studie', 'study')


def _refuse_untrusted(package, name):
    trusted = _trusted.get()
    if _reads_workdir.get() and trusted is not None and name not in trusted:
        raise Refusal(
            f'the workdir names a {_kind(package)} outside lbexp: found {name!r}; allowed: parts of lbexp. To run it, '
            'give the --config that names it, or --trust_workdir to lbexp.sweep; in Python: lookup.trusting'
        )


def _outside(module, function):
    try:
        return getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        raise Refusal(f'{module}:{function}: {error}') from error
    except AttributeError as error:
        public = [n for n in dir(importlib.import_module(module)) if not n.startswith('_')]
        hint = nearest(function, public)
        raise Refusal(f'module {module!r} has no {function!r}.{hint}') from error
