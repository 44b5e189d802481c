"""Trees that say something of every parameter: whole ones, prefixes, functions."""

from collections.abc import Callable
from typing import Any, TypeGuard

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
    entries = {_keys(path): (_name(path), leaf) for path, leaf in jax.tree.leaves_with_path(tree)}
    places, structure = jax.tree.flatten_with_path(params)
    owners = [_owner(_keys(path), entries) for path, _ in places]
    without = [
        _name(path) for (path, _), owner in zip(places, owners, strict=True) if owner is None
    ]
    hollows = _hollows(params) if entries.keys() - set(owners) else []
    extra = [
        name
        for keys, (name, _) in entries.items()
        if keys not in owners and not _meets(keys, hollows)
    ]
    if without or extra:
        problems = []
        if without:
            problems.append(f'no entry for {_listed(without)}')
        if extra:
            problems.append(f'an entry for {_listed(extra)}, which is no parameter')
        known = ', '.join(_name(path) for path, _ in places)
        raise ValueError(
            f'{argument}: found {" and ".join(problems)}; allowed: a tree like the parameters, or '
            f'a prefix of it. There are: {known}'
        )
    return jax.tree.unflatten(
        structure, [entries[owner][1] for owner in owners if owner is not None]
    )


def is_function(tree: Any) -> TypeGuard[Callable[[Any], Any]]:
    """Whether `tree` is to be called: also of a tree that can be, such as an Equinox module, its
    leaves decide."""
    leaves = jax.tree.leaves(tree)
    return all(callable(leaf) for leaf in leaves) if leaves else callable(tree)


# The longest prefix of a parameter's path that has an entry: the deepest entry decides.
def _owner(keys, entries):
    return next((keys[:n] for n in range(len(keys), -1, -1) if keys[:n] in entries), None)


def _hollows(params):
    """Places where `params` have no arrays: None, or what optax.masked put there."""
    nodes = jax.tree.leaves_with_path(params, is_leaf=_is_hollow)
    return [_keys(path) for path, node in nodes if _is_hollow(node)]


def _is_hollow(node):
    return not jax.tree.leaves(node)


def _meets(keys, places):
    """Whether `keys` lead to one of `places`, or through one."""
    shared = [min(len(keys), len(place)) for place in places]
    return any(keys[:n] == place[:n] for n, place in zip(shared, places, strict=True))


def _listed(names):
    return ', '.join(map(repr, names[:3])) + (f' and {len(names) - 3} more' if names[3:] else '')


def _keys(path):
    """Steps of a path as texts: a dict, a module and a state with the same names are the same to
    it."""
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def _name(path):
    return jax.tree_util.keystr(path, simple=True, separator='/')
