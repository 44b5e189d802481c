"""Names to functions: the file system is the registry, and a part is what its return annotation
says it is."""

import difflib
import functools
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lbexp.config._kinds import KINDS
from lbexp.config._returns import return_annotation, returns
from lbexp.config._shorthand import SHORT as SHORT
from lbexp.config._shorthand import spelled_out as spelled_out
from lbexp.config._trust import outside_names as outside_names
from lbexp.config._trust import recorded as recorded
from lbexp.config._trust import refuse_untrusted
from lbexp.config._trust import trusting as trusting
from lbexp.config.violation import part_class
from lbexp.errors import Refusal, user_frame
from lbexp.wording import with_article


def find(kind: str, name: str) -> Callable:
    """The function that `name` means among the parts of a kind.

    find('optimizer', 'lamb') is the function `lamb` of lbexp/optimizers/lamb.py; where the package
    is one file (lbexp.schedules), a public function of that file. 'optax:adamw' or
    'package.module:function' reaches outside.

    Raises:
        Refusal: no part of this kind has this name; the message lists what exists and the nearest
            match. Or, inside `recorded`, the name reaches outside lbexp.
    """
    if not isinstance(name, str):
        raise Refusal(f'found {name!r}; allowed: a name')
    kind = _kind(kind)
    module, colon, function = name.partition(':')
    if colon:
        refuse_untrusted(kind, name)
        return _outside(kind, module, function)
    home = _home(kind, name)
    function = getattr(home, name, None)
    if function is None or not _is_part(kind, function, home.__name__):
        known = names(kind)
        raise Refusal(
            f'no {kind} is named {name!r}.{nearest(name, known)} There are: {", ".join(known)}'
        )
    return function


def names(kind: str) -> list[str]:
    """What `find` accepts without a colon: the functions whose return annotation is the type of
    this kind.

    In a folder, those that have the name of their file.
    """
    kind = _kind(kind)
    home = importlib.import_module(KINDS[kind].package)
    if hasattr(home, '__path__'):
        candidates = [module.name for module in pkgutil.iter_modules(home.__path__)]
    else:
        candidates = list(vars(home))
    parts = []
    for name in candidates:
        if name.startswith('_'):
            continue
        module = _home(kind, name)
        if _is_part(kind, getattr(module, name, None), module.__name__):
            parts.append(name)
    return sorted(parts)


def _home(kind, name):
    """The module that would hold a part of this name: a file of the package, else the package."""
    package = KINDS[kind].package
    home = importlib.import_module(package)
    file = f'{package}.{name}'
    # Looked for first: an import that fails inside the file is an error of its own.
    if hasattr(home, '__path__') and name.isidentifier() and importlib.util.find_spec(file):
        return importlib.import_module(file)
    return home


def build(kind: str, part: dict, **given: Any) -> Any:
    """Calls the function that part['name'] means with the rest of `part` as arguments.

    An argument that is itself a part (a dict with a 'name') is built first: that is how an
    optimizer holds an inner optimizer. Lists are given as tuples.

    Raises:
        Refusal: the function refuses its arguments, or what it returns is no part of this kind.
            What goes wrong in a function of the user's passes as it is.
    """
    function = find(kind, part['name'])
    known = parameters(function)
    arguments = {}
    for name, value in part.items():
        if name != 'name':
            value = argument(known.get(name), kind, value)
            arguments[name] = _built(inner_kind(known.get(name), kind), value)
    # Bound first: a TypeError of the call itself may come from inside the function.
    try:
        inspect.signature(function).bind(**given, **arguments)
    except TypeError as error:
        raise Refusal(f'{part["name"]}: {error}') from error
    try:
        built = function(**given, **arguments)
    except Exception as error:
        if user_frame(error) is not None or not _refuses(function, error):
            raise
        raise Refusal(f'{part["name"]}: {error}') from error
    if not _is_built(kind, built):
        raise Refusal(f'{part["name"]}: returns {_short(built)}; allowed: {_in_words(kind)}')
    return built


def _is_built(kind, value):
    for expected in _returned_types(_kind(kind)):
        if not inspect.isclass(expected):  # a function of some arguments
            return callable(value)
        if isinstance(value, expected):
            return True
    return False


def parameters(function: Callable) -> dict[str, inspect.Parameter]:
    """The parameters of `function` that may be given by name, with their annotations evaluated
    where they can be."""
    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, SyntaxError, AttributeError, TypeError):
        signature = inspect.signature(function)
    by_name = dict(signature.parameters)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            del by_name[name]
    return by_name


def inner_kind(parameter: inspect.Parameter | None, outer: str) -> str:
    """The kind of a part that is the argument `parameter` of a part of the kind `outer`."""
    if parameter is None:
        return outer
    wanted = part_class(parameter.annotation)
    if wanted is None:
        return outer
    for kind in KINDS:
        for returned in _returned_types(kind):
            if inspect.isclass(returned) and issubclass(wanted, returned):
                return kind
    return outer


def argument(parameter: inspect.Parameter | None, outer: str, value: Any) -> Any:
    """The value of an argument of a part; a text that stands for a part is spelled out."""
    if parameter is None or not isinstance(value, str):
        return value
    if part_class(parameter.annotation) is None:
        return value
    return spelled_out(inner_kind(parameter, outer), value)


def nested(kind: str, part: dict) -> Iterator[tuple[str, dict]]:
    """(kind, part) of a part and of those inside it, at any depth."""
    yield kind, part
    known = parameters(find(kind, part['name']))
    for name, value in part.items():
        inner = inner_kind(known.get(name), kind)
        value = argument(known.get(name), kind, value)
        for element in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(element, dict) and isinstance(element.get('name'), str):
                yield from nested(inner, element)


def nearest(name: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' when something in `known` resembles `name`, else ''."""
    match = difflib.get_close_matches(name, list(known), 1)
    return f' Did you mean {match[0]!r}?' if match else ''


def _kind(kind):
    """A kind by its name, or by its package."""
    if kind in KINDS:
        return kind
    return next(name for name, known in KINDS.items() if known.package == kind)


def _built(kind, value):
    if isinstance(value, dict) and 'name' in value:
        return build(kind, value)
    if type(value) in (list, tuple):  # not a gradient transformation, which is a NamedTuple
        return tuple(_built(kind, element) for element in value)
    return value


@functools.cache
def _returned_types(kind):
    types = []
    for whole in KINDS[kind].returns:
        module, _, name = whole.partition(':')
        # Imported when it is needed: the configuration lies below all of these packages.
        types.append(getattr(importlib.import_module(module), name))
    return tuple(types)


def _returns(kind, function):
    """Whether `function` says that it returns a part of this kind; None: it does not say."""
    verdicts = [returns(expected, function) for expected in _returned_types(kind)]
    if True in verdicts:
        return True
    return None if None in verdicts else False


def _returns_or_none(kind, function):
    return _returns(kind, function) if callable(function) else None


def _is_part(kind, function, module):
    if not inspect.isfunction(function) or function.__module__ != module:
        return False
    return bool(_returns(kind, function))


def _outside(kind, module, name):
    whole = f'{module}:{name}'
    if not (name.isidentifier() and all(part.isidentifier() for part in module.split('.'))):
        raise Refusal(f"found {whole!r}; allowed: 'package.module:function'")
    try:
        home = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise Refusal(f'{whole}: {error}') from error
    if not hasattr(home, name):
        public = [known for known in dir(home) if not known.startswith('_')]
        raise Refusal(f'module {module!r} has no {name!r}.{nearest(name, public)}')
    function = getattr(home, name)
    adapter = KINDS[kind].adapter
    if adapter and _returns_or_none(kind, function) is not True:
        module, _, adapting = adapter.partition(':')
        function = getattr(importlib.import_module(module), adapting)(whole, function)
    if not callable(function):
        raise Refusal(
            f'{whole}: found {_short(function)}; allowed: a function that returns {_in_words(kind)}'
        )
    if _returns(kind, function) is False:
        annotation = inspect.formatannotation(return_annotation(function))
        raise Refusal(
            f'{whole} returns {annotation}; allowed: a function that returns {_in_words(kind)}'
        )
    try:
        inspect.signature(function)
    except (ValueError, TypeError) as error:
        raise Refusal(
            f'{whole}: its arguments are not known; allowed: a function written in Python'
        ) from error
    return function


def _in_words(kind):
    returned = ' or '.join(KINDS[_kind(kind)].returns).replace(':', '.')
    return f'{with_article(kind)} ({returned})'


def _short(value):
    text = ' '.join(repr(value).split())
    if len(text) > 60:
        return f'{text[:57]}...'
    return text


def _refuses(function, error):
    """Whether `error` is what a part says of its arguments; of an installed package it may be a
    TypeError as well."""
    is_ours = (getattr(function, '__module__', None) or '').split('.')[0] == 'lbexp'
    of_tracing = type(error).__module__.partition('.')[0] in ('jax', 'jaxlib')
    return isinstance(error, ValueError) or not (is_ours or of_tracing)
