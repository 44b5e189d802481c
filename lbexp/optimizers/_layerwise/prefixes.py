"""Trees that say something of every parameter: whole ones, prefixes, functions."""

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeGuard

import jax


def paths(params: Any) -> Any:
    """A tree of the leaves' paths, 'Dense_0/kernel'."""
    return jax.tree.map_with_path(lambda path, _: _name(path), params)


def broadcast(tree: Any, params: Any, argument: str) -> Any:
    """A tree like `params` of the leaves of `tree`, which is like `params` or a prefix of it.

    Entries belong to parameters by their paths. Where `params` has nothing (None, or what
    optax.masked put there), `tree` may have anything.

    Raises:
        ValueError: a parameter without an entry, or an entry without a parameter; `argument` is
            named.
    """
    entries = {}
    for path, value in jax.tree.leaves_with_path(tree):
        entries[_keys(path)] = _Entry(_name(path), value)
    parameters, structure = jax.tree.flatten_with_path(params)
    values, used, missing = [], set(), []
    for path, _ in parameters:
        owner = _owner(_keys(path), entries)
        if owner is None:
            missing.append(_name(path))
        else:
            used.add(owner)
            values.append(entries[owner].value)
    extra = _extra(entries, used, params)
    if missing or extra:
        problems = []
        if missing:
            problems.append(f'no entry for {_listed(missing)}')
        if extra:
            problems.append(f'an entry for {_listed(extra)}, which is no parameter')
        known = ', '.join(_name(path) for path, _ in parameters)
        raise ValueError(
            f'{argument}: found {" and ".join(problems)}; allowed: a tree like the parameters, or '
            f'a prefix of it. There are: {known}'
        )
    return jax.tree.unflatten(structure, values)


def is_function(tree: Any) -> TypeGuard[Callable[[Any], Any]]:
    """Whether `tree` is to be called: also of a tree that can be, such as an Equinox module, its
    leaves decide."""
    leaves = jax.tree.leaves(tree)
    if not leaves:
        return callable(tree)
    return all(map(callable, leaves))


def is_found(pattern: str, names: Iterable[str]) -> bool:
    """Whether one of `names` has the regular expression in it."""
    return any(re.search(pattern, name) for name in names)


class _Entry(NamedTuple):
    """A leaf of a tree that says something of parameters."""

    name: str
    value: Any


def _owner(keys, entries):
    """The longest prefix of a parameter's path that has an entry: the deepest entry decides."""
    # Down to the empty path, whose entry is one value for all parameters.
    for length in range(len(keys), -1, -1):
        if keys[:length] in entries:
            return keys[:length]
    return None


def _extra(entries, used, params):
    """Names of the entries that belong to no parameter, nor to a place without one."""
    unused = entries.keys() - used
    if not unused:
        return []
    hollows = _hollows(params)
    extra = []
    for keys, entry in entries.items():
        if keys in unused and not _meets(keys, hollows):
            extra.append(entry.name)
    return extra


def _hollows(params):
    """Places where `params` have no arrays: None, or what optax.masked put there."""
    nodes = jax.tree.leaves_with_path(params, is_leaf=_is_hollow)
    return [_keys(path) for path, node in nodes if _is_hollow(node)]


def _is_hollow(node):
    return not jax.tree.leaves(node)


def _meets(keys, places):
    """Whether `keys` lead to one of `places`, or through one."""
    for place in places:
        shared = min(len(keys), len(place))
        if keys[:shared] == place[:shared]:
            return True
    return False


def _listed(names):
    text = ', '.join(map(repr, names[:3]))
    if len(names) > 3:
        text += f' and {len(names) - 3} more'
    return text


def _keys(path):
    """Steps of a path as texts: a dict, a module and a state with the same names are the same to
    it."""
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def _name(path):
    return jax.tree_util.keystr(path, simple=True, separator='/')
