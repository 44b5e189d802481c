"""The trials of workdirs as columns: where they are, what varies between them, and how they
stand."""

import collections
import itertools
import json
import operator
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lbexp.documents import SPANNING
from lbexp.dotted import flatten
from lbexp.results import _documents

_UNVARIED = (*SPANNING, 'workdir')  # no single trial has them


class _Trial(NamedTuple):
    """What the documents of a workdir say of a trial."""

    workdir: str
    number: int
    config: dict  # flat, without what the overrides replace
    varied: dict  # flat: the overrides, and what differs between the configs of a tree
    tags: list[dict]  # what the study asked for it as; several where it asked more than once
    status: str


def trials(
    folders: Sequence[Path], configurations: Sequence[dict], with_rows: Iterable[tuple[int, int]]
) -> tuple[dict, dict[tuple[int, int], int]]:
    """Columns 'workdir', 'trial', 'tags' and 'varied' (dicts of columns), 'status'; and the place
    of each (folder, trial).

    Args:
        with_rows: (number of the folder, trial) that have rows, whether or not config.json knows
            them.
    """
    by_key = _trials(folders, configurations, with_rows)
    trials = list(by_key.values())

    def cells(field):
        return list(map(operator.attrgetter(field), trials))

    columns: dict[str, Any] = {
        'workdir': np.array(cells('workdir'), object),
        'trial': np.array(cells('number'), np.int64),
        'tags': _tags(cells('tags')),
        'varied': _varied(trials),
        'status': np.array(cells('status'), object),
    }
    return columns, dict(zip(by_key, itertools.count()))


def _trials(folders, configurations, with_rows):
    """{(number of the folder, trial): _Trial}, sorted."""
    recorded = collections.defaultdict(set)
    for number, trial in set(with_rows):
        recorded[number].add(trial)
    flats = [_flat(document['config']) for document in configurations]
    differing = _differences(flats)
    trials = {}
    for number, (folder, document) in enumerate(zip(folders, configurations, strict=True)):
        flat = flats[number]
        shared = {name: value for name, value in flat.items() if name in differing}
        statuses = _documents.states(folder)
        entries = {entry['trial']: entry for entry in document['trials']}
        # Rows of a trial that config.json does not know are shown as well.
        for trial in sorted(entries.keys() | recorded[number]):
            entry = entries.get(trial, {})
            overrides = entry.get('overrides', {})
            trials[number, trial] = _Trial(
                workdir=str(folder),
                number=trial,
                config=_without(flat, overrides),
                varied=shared | _flat(overrides),
                tags=entry.get('tags', []),
                status=statuses.get(trial, 'unknown'),
            )
    return trials


def _tags(tags):
    """A column for each tag."""
    names = {}
    for role in itertools.chain.from_iterable(tags):
        names |= dict.fromkeys(role)
    columns = {}
    for name in names:
        columns[name] = _column([_tag(roles, name) for roles in tags])
    return columns


def _tag(roles, name):
    """A tag of one trial; of a trial that was asked for twice, both values as text."""
    values = dict.fromkeys(role[name] for role in roles if name in role)
    if not values:
        return None
    if len(values) > 1:
        return ', '.join(map(str, values))
    return next(iter(values))


def _varied(trials):
    """A column for each setting that varies; what a trial does not vary is its config's."""
    names = {}
    for trial in trials:
        names |= dict.fromkeys(trial.varied)
    columns = {}
    for name in names:
        settings = [trial.varied.get(name, trial.config.get(name)) for trial in trials]
        columns[name] = _column(settings)
    return columns


def _without(flat, overrides):
    """The config of a trial: a part that is overridden as a whole has nothing left of the config's
    own part."""
    parts = tuple(f'{name}.' for name, value in overrides.items() if isinstance(value, dict))
    if not parts:
        return flat
    config = dict(flat)
    for name in flat:
        if name.startswith(parts):
            del config[name]
    return config


def _differences(flats):
    """Keys whose values differ between the configs of a tree."""
    flats = list(filter(None, flats))
    texts = collections.defaultdict(list)
    for flat in flats:
        for name, value in flat.items():
            # nested values are compared as what config.json says
            texts[name].append(json.dumps(value))
    differing = set()
    for name, values in texts.items():
        is_lacking = len(values) < len(flats)
        if is_lacking or len(set(values)) > 1:
            differing.add(name)
    return differing


def _flat(config):
    """What may vary between trials, by dotted name. A part that is not set has no column."""
    varying = {name: value for name, value in config.items() if name not in _UNVARIED}
    flat = flatten(varying)
    return {name: value for name, value in flat.items() if value != {}}


def _column(values):
    """Whole numbers as int64, numbers as float64 (None: NaN), the rest as objects (lists as JSON
    text)."""
    try:
        # By type: True is an int to isinstance.
        kinds = set(map(type, values))
        if kinds <= {int}:
            return np.array(values, np.int64)
        if kinds <= {int, float, types.NoneType}:
            return np.array(values, np.float64)
        as_text = False
    except OverflowError:  # an integer that neither holds
        as_text = True
    column = np.empty(len(values), object)
    for place, value in enumerate(values):
        if isinstance(value, (list, dict)):
            value = json.dumps(value)
        elif as_text and value is not None:
            value = str(value)
        column[place] = value
    return column
