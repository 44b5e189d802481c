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
    problems, swept = [], []
    for i, axis in enumerate(plain(config.sweep)):
        where = f'sweep[{i}]'
        if not _is_axis(axis):
            allowed = '(path, values) or (paths, tuples of values)'
            problems.append(f'{where}: found {axis!r}; allowed: {allowed}')
            continue
        paths, points = axis
        if isinstance(paths, str):
            paths, points = [paths], [[value] for value in points]
        problems += _problems_of_paths(config, where, paths, swept)
        problems += _problems_of_points(where, paths, points)
        swept += paths
    return [*problems, *_problems_of_search(config, swept, problems)]


def identity(value: Any) -> str:
    """A text that two values share if a trial cannot tell them apart: 1 and 1.0, but not 1 and
    True."""
    return json.dumps(_with_integers(value), sort_keys=True)


def _is_axis(axis):
    if not isinstance(axis, list) or len(axis) != 2 or not isinstance(axis[1], list):
        return False
    paths = axis[0]
    if isinstance(paths, list):
        return all(isinstance(path, str) for path in paths)
    return isinstance(paths, str)


def _problems_of_paths(config, where, paths, swept) -> Iterator[str]:
    earlier = set(swept)
    for path in paths:
        yield from _problems_of_path(config, where, path)
        if path in earlier:
            yield f'{where}: found {path!r} again; allowed: a path once'
        earlier.add(path)


def _problems_of_points(where, paths, points) -> Iterator[str]:
    earlier = set()
    for point in points:
        if not isinstance(point, list) or len(point) != len(paths):
            yield f'{where}: found {point!r}; allowed: one value for each of {tuple(paths)}'
        elif identity(point) in earlier:
            yield f'{where}: found {", ".join(map(repr, point))} twice; allowed: a value once'
        earlier.add(identity(point))


def _problems_of_search(config, swept, problems_of_sweep) -> Iterator[str]:
    """The paths of the search, and what the search itself refuses."""
    search = plain(config.search)
    if not search:
        return
    missing = [name for name in ('trials', 'space') if name not in search]
    for name in missing:
        yield f'search.{name}: not set; allowed: a search has one'
    space = search.get('space', [])
    if not all(map(_begins_with_path, space)):
        yield f'search.space: found {space!r}; allowed: ((path, scale, low, high), ...)'
        return
    wrong = list(_problems_of_searched(config, [path for path, *_ in space], swept))
    yield from wrong
    # Points can be drawn, and what else is wrong be told, only where all axes are right.
    if not (missing or wrong or problems_of_sweep):
        try:
            trials(config)
        except Refusal as error:
            yield f'search: {error}'


def _begins_with_path(axis):
    return isinstance(axis, list) and axis and isinstance(axis[0], str)


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
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
