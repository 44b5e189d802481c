"""The trials of workdirs as columns: where they are, what varies between them, and how they
stand."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lbexp.documents import SPANNING
from lbexp.dotted import flatten
from lbexp.results import _documents

_UNVARIED = (*SPANNING, 'workdir')  # no single trial has them


def trials(
    folders: list[Path], configurations: list[dict], with_rows: Iterable[tuple[int, int]]
) -> tuple[dict, dict[tuple[int, int], int]]:
    """Columns 'workdir', 'trial', 'tags' and 'varied' (dicts of columns), 'status'; and the place
    of each (folder, trial).

    Args:
        with_rows: (number of the folder, trial) that have rows, whether or not config.json knows
            them.
    """
    written = {}
    # rows of a trial that config.json does not know are shown as well
    for number, trial in set(with_rows):
        written.setdefault(number, set()).add(trial)
    flats = [_flat(content['config']) for content in configurations]
    differ = _differences(flats)
    tags = {}  # (folder number, trial) -> what the study asked for it as
    entries = {}  # (folder number, trial) -> (resolved config, what varies, status)
    for number, (content, flat) in enumerate(zip(configurations, flats, strict=True)):
        shared = {name: value for name, value in flat.items() if name in differ}
        status = _documents.states(folders[number])
        overrides = {entry['trial']: entry['overrides'] for entry in content['trials']}
        tags |= {(number, entry['trial']): entry.get('tags', []) for entry in content['trials']}
        for trial in sorted(overrides.keys() | written.get(number, set())):
            changed = overrides.get(trial, {})
            varied = shared | _flat(changed)
            entries[number, trial] = (_without(flat, changed), varied, status.get(trial, 'unknown'))
    columns: dict[str, Any] = {
        'workdir': np.array([str(folders[number]) for number, _ in entries], object),
        'trial': np.array([trial for _, trial in entries], np.int64),
    }
    columns['tags'] = _tags([tags.get(key, []) for key in entries])
    columns['varied'] = _varied(list(entries.values()))
    columns['status'] = np.array([status for _, _, status in entries.values()], object)
    return columns, {key: place for place, key in enumerate(entries)}


def _tags(tags):
    """A column for each tag; of a trial that was asked for twice, both values as text."""
    names = dict.fromkeys(name for roles in tags for role in roles for name in role)
    columns = {}
    for name in names:
        cells = []
        for roles in tags:
            values = list(dict.fromkeys(role[name] for role in roles if name in role))
            cells.append(values[0] if len(values) == 1 else ', '.join(map(str, values)) or None)
        columns[name] = _column(cells)
    return columns


def _varied(entries):
    names = dict.fromkeys(name for _, varied, _ in entries for name in varied)
    columns = {}
    for name in names:
        columns[name] = _column([varied.get(name, base.get(name)) for base, varied, _ in entries])
    return columns


def _without(flat, overrides):
    """The config of a trial: a part that is overridden as a whole has nothing left of the config's
    own part."""
    parts = tuple(f'{name}.' for name, value in overrides.items() if isinstance(value, dict))
    if not parts:
        return flat
    return {name: value for name, value in flat.items() if not name.startswith(parts)}


def _differences(flats):
    """Keys whose values differ between the configs of a tree."""
    values, count = {}, 0  # by key, as text
    for flat in filter(None, flats):
        count += 1
        for name, value in flat.items():
            values.setdefault(name, []).append(json.dumps(value))
    # a key that a config lacks differs too
    return {name for name, texts in values.items() if len(set(texts)) > 1 or len(texts) < count}


def _flat(config):
    """What may vary between trials, by dotted name. A part that is not set has no column."""
    varying = {name: value for name, value in config.items() if name not in _UNVARIED}
    flat = flatten(varying)
    return {name: value for name, value in flat.items() if value != {}}


def _column(values):
    """Whole numbers as int64, numbers as float64 (None: NaN), the rest as objects (lists as JSON
    text)."""
    try:
        if all(type(value) is int for value in values):
            return np.array(values, np.int64)
        if all(value is None or type(value) in (int, float) for value in values):
            return np.array([np.nan if value is None else value for value in values], np.float64)
    except OverflowError:  # an integer that neither holds: as text
        values = [value if value is None else str(value) for value in values]
    column = np.empty(len(values), object)
    column[:] = [
        json.dumps(value) if isinstance(value, (list, dict)) else value for value in values
    ]
    return column
