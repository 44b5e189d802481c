"""The axes of a configuration: what sweep and search set in its trials."""

import json
from collections.abc import Iterator
from typing import Any

from lbexp.config._overriding import field
from lbexp.config._plain import plain
from lbexp.config._trials import trials
from lbexp.errors import Refusal


def axis_problems(config) -> list[str]:
    """Problems of sweep and search: paths that are no fields, paths and values that stand twice,
    malformed axes."""
    swept = plain(config.sweep)
    problems, paths = [], []
    for i, axis in enumerate(swept):
        problems += _problems_of_axis(config, f'sweep[{i}]', axis, paths)
        paths += _paths(axis) if _is_axis(axis) else []
    return [*problems, *_problems_of_search(config, paths, problems)]


def identity(value: Any) -> str:
    """A text that two values share if a trial cannot tell them apart: 1 and 1.0, but not 1 and
    True."""
    return json.dumps(_with_integers(value), sort_keys=True)


def _problems_of_axis(config, where, axis, earlier_paths) -> Iterator[str]:
    if not _is_axis(axis):
        yield f'{where}: found {axis!r}; allowed: (path, values) or (paths, tuples of values)'
        return
    paths, seen = _paths(axis), set()
    for i, path in enumerate(paths):
        yield from _problems_of_path(config, where, path)
        if path in (*earlier_paths, *paths[:i]):
            yield f'{where}: found {path!r} again; allowed: a path once'
    for point in axis[1]:
        values = [point] if isinstance(axis[0], str) else point
        if not isinstance(values, list) or len(values) != len(paths):
            yield f'{where}: found {point!r}; allowed: one value for each of {tuple(paths)}'
        elif identity(values) in seen:
            yield f'{where}: found {", ".join(map(repr, values))} twice; allowed: a value once'
        seen.add(identity(values))


def _is_axis(axis):
    if not isinstance(axis, list) or len(axis) != 2 or not isinstance(axis[1], list):
        return False
    return isinstance(axis[0], str) or (
        isinstance(axis[0], list) and all(isinstance(path, str) for path in axis[0])
    )


def _paths(axis):
    return [axis[0]] if isinstance(axis[0], str) else axis[0]


def _problems_of_search(config, swept, problems_of_sweep) -> Iterator[str]:
    """The paths of the search, and what the search itself refuses."""
    search = plain(config.search)
    if not search:
        return
    missing = [name for name in ('trials', 'space') if name not in search]
    yield from (f'search.{name}: not set; allowed: a search has one' for name in missing)
    space = search.get('space', [])
    if not all(isinstance(axis, list) and axis and isinstance(axis[0], str) for axis in space):
        yield f'search.space: found {space!r}; allowed: ((path, scale, low, high), ...)'
        return
    wrong = list(_problems_of_searched(config, [path for path, *_ in space], swept))
    yield from wrong
    if not (missing or wrong or problems_of_sweep):
        try:
            trials(config)
        except Refusal as error:
            yield f'search: {error}'


def _problems_of_searched(config, searched, swept):
    for path in dict.fromkeys(searched):
        yield from _problems_of_path(config, 'search.space', path)
        if path in swept or searched.count(path) > 1:
            yield (
                f'search.space: found {path!r} twice; allowed: a path stands once, in search '
                'or in sweep'
            )


def _problems_of_path(config, where, path):
    try:
        field(config, path)
    except Refusal as error:
        yield f'{where}: {error}'
    if path.split('.')[0] in ('sweep', 'search', 'study'):
        yield (
            f'{where}: found {path!r}; allowed: a field of a trial, which sweep, search and '
            'study are not'
        )


def _with_integers(value):
    if isinstance(value, dict):
        return {name: _with_integers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_integers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
