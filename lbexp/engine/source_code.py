"""The code that a run's numbers come from: which files it is in, and what they say."""

import ast
import hashlib
import importlib.util
import inspect
import pathlib
import site
import sys
import sysconfig
from types import ModuleType
from typing import Any

from lbexp import config as configs
from lbexp.config import lookup

_LBEXP = pathlib.Path(configs.__file__).resolve().parents[1]
_INSTALLED = {'site-packages', 'dist-packages'}


def files_of_part(kind: str, name: str) -> dict[str, pathlib.Path]:
    """{name: file} of the code of a part: none where it is installed."""
    function = inspect.unwrap(lookup.find(kind, name))
    modules = [getattr(function, '__module__', None)]
    if ':' in name:  # the module that the configuration names may only import the function
        modules.append(name.partition(':')[0])
    files = {}
    for module in map(sys.modules.get, filter(None, modules)):
        path = _source(module)
        if path is None:
            continue
        if is_of_lbexp(path):
            files[path.relative_to(_LBEXP.parent).as_posix()] = path
        elif _is_of_the_user(path):
            files |= {_name(module, path): path, **imported(path, module)}
    return files


def imported(path: pathlib.Path, module: ModuleType | None) -> dict[str, pathlib.Path]:
    """{name: file} of the user's modules that a file of the user's imports, and of what those
    import."""
    files, waiting, seen = {}, [(path, module)], {path}
    while waiting:
        here, importer = waiting.pop()
        for dependency in _modules(here, importer):
            file = _source(dependency)
            if file is not None and file not in seen and _is_of_the_user(file):
                seen.add(file)
                files[_name(dependency, file)] = file
                waiting.append((file, dependency))
    return files


def code(path: pathlib.Path) -> str:
    """SHA-256 of what a file of Python code says, without comments and docstrings."""
    return hashlib.sha256(_normalized(_tree(path)).encode()).hexdigest()


def is_of_lbexp(path: pathlib.Path) -> bool:
    """Whether a file is one of lbexp's."""
    return _LBEXP in path.parents


def _modules(path, importer):
    """The modules that a file imports, packages above them included; those that were not loaded yet
    are looked for."""
    package = ''
    if importer is not None and importer.__spec__:
        package = importer.__spec__.parent
    names = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _imported_from(node, package)
            names |= {base, *(f'{base}.{alias.name}' for alias in node.names)}
    modules = []
    for name in sorted(_with_packages(names)):
        module = sys.modules.get(name) or _unloaded(name)
        if module is not None:
            modules.append(module)
    return modules


def _imported_from(node, package):
    """The full name of the module of `from ... import`, relative to the importer's package."""
    if not node.level:
        return node.module
    above = package.split('.')
    parts = above[: len(above) - node.level + 1]
    if node.module:
        parts.append(node.module)
    return '.'.join(parts)


def _with_packages(names):
    """Names of modules, with those of the packages above them."""
    every = set()
    for name in names:
        parts = name.split('.')
        every |= {'.'.join(parts[:depth]) for depth in range(1, len(parts) + 1)}
    return every - {''}


def _unloaded(name):
    """A module that an import inside a function would load, without running it; None: there is
    none."""
    parent = name.rpartition('.')[0]
    # To look for a module in a package `find_spec` would import the package.
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
    """The file of a module's Python code; None: it has none."""
    file = getattr(module, '__file__', None)
    if not file:
        return None
    path = pathlib.Path(file).resolve()
    return path if path.suffix == '.py' and path.is_file() else None


def _is_of_the_user(path: pathlib.Path) -> bool:
    """Neither lbexp's, nor Python's, nor installed."""
    # Of whatever environment: the user's may lie on top of another.
    if _INSTALLED & set(path.parts):
        return False
    standard = [sysconfig.get_path('stdlib'), sysconfig.get_path('platstdlib')]
    folders = {pathlib.Path(folder).resolve() for folder in standard + site.getsitepackages()}
    return not (folders | {_LBEXP}) & set(path.parents)


def _name(module, path):
    """A name that is the same on another machine: that of the module, as a file."""
    parts = module.__name__.split('.')
    if parts == ['__main__']:
        return path.name
    if path.stem == '__init__':
        parts.append('__init__')
    return '/'.join(parts) + '.py'


def _tree(path):
    try:
        return ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise ValueError(f'{path}: {error}') from error


def _normalized(node: Any) -> str:
    """A syntax tree as text, without positions, docstrings, and what differs between versions of
    Python."""
    if isinstance(node, list):
        texts = [_normalized(item) for item in node if not _is_text(item)]
        return f'[{",".join(texts)}]'
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.expr_context):
        return ''
    fields = []
    for name, value in ast.iter_fields(node):
        # Versions of Python differ in the fields that they leave empty, and in `kind`.
        if value is not None and value != [] and name != 'kind':
            fields.append(f'{name}={_normalized(value)}')
    return f'{type(node).__name__}({",".join(fields)})'


def _is_text(node):
    """A docstring, or any other text that does nothing."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
