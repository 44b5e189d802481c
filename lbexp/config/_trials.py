"""The trials of a configuration."""

import copy
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict, FieldReference

from lbexp.config._overriding import fill_in
from lbexp.config._plain import plain
from lbexp.config.fields import watching
from lbexp.config.search import search
from lbexp.documents import SPANNING
from lbexp.errors import Refusal


class Trial(NamedTuple):
    """A trial that a study asks for: what it sets in the configuration, and what it is there for.

    Args:
        overrides: {path: value}.
        tags: {name: text or number}, such as arm, phase or case. They are no part of the
            configuration: neither cohort, nor fingerprint, nor a bit of the result depends on
            them. They are recorded in config.json and are columns of the results, and the study
            finds its trials again by them.
    """

    overrides: dict[str, Any]
    tags: dict[str, Any] = {}  # noqa: RUF012 (a tuple's default, which nobody writes to)


def asked(trials: Iterable[Trial | Mapping[str, Any]]) -> list[Trial]:
    """Trials as a study gives them, which may be bare overrides, as `Trial`s."""
    return list(map(_asked, trials))


def _asked(trial):
    if isinstance(trial, Trial):
        return trial
    return Trial(dict(trial))


def trials(config: ConfigDict) -> list[dict[str, Any]]:
    """The overrides of each trial: the points of the search, each with the product of the sweep,
    last axis fastest.

    One empty dict without either. Values are plain data.
    """
    axes = []
    if config.search:
        axes.append(_searched(**plain(config.search)))
    for paths, points in plain(config.sweep):
        if isinstance(paths, str):
            axes.append([{paths: value} for value in points])
        else:
            axes.append([dict(zip(paths, point, strict=True)) for point in points])
    return list(map(_merged, itertools.product(*axes)))


def resolve(config: ConfigDict, overrides: dict[str, Any]) -> dict:
    """The configuration of one trial as plain data: `overrides` set, sweep and search dropped.

    A field that refers to another (`c.steps = 20480 // c.get_ref('batch_size')`) follows its
    overrides.

    Raises:
        Refusal: an override of a field in something that an earlier one set, and that has no
            fields.
    """
    if overrides and _has_references(config):
        config = _followed(config, overrides)
    # As plain data a field may take a value of any type, such as None in place of a number.
    resolved = plain(config)
    for name in SPANNING:
        del resolved[name]
    for path, value in overrides.items():
        holder, name = _place(resolved, path)
        holder[name] = copy.deepcopy(value)  # a later path may lead into it
    fill_in(resolved)  # a trial may set a dict as a whole
    return resolved


def digest(config: ConfigDict, overrides: list[dict[str, Any]]) -> str:
    """SHA-256 of a configuration and of what its trials override."""
    return _digest([plain(config), overrides])


def trial_digest(config: dict) -> str:
    """SHA-256 of what the resolved configuration of a trial computes."""
    apart = (*watching(), 'study', *SPANNING)
    return _digest({name: value for name, value in config.items() if name not in apart})


def _digest(content):
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _place(config, path):
    """The dict that holds the field `path`, and the field's name in it."""
    *parents, name = path.split('.')
    holder = config
    for depth, parent in enumerate(parents, 1):
        value = holder.get(parent)
        if not isinstance(value, (dict, ConfigDict)):
            where = '.'.join(parents[:depth])
            raise Refusal(
                f'{path}: found {value!r} as {where}; allowed: a dict, where a field '
                'of it is set as well'
            )
        holder = value
    return holder, name


def _merged(points):
    overrides = {}
    for point in points:
        overrides |= point
    return overrides


def _searched(trials, space, **settings):
    return search({path: tuple(axis) for path, *axis in space}, trials, **settings)


def _has_references(config):
    # The private attribute: whatever else reads a field follows its reference.
    for value in config._fields.values():
        if isinstance(value, FieldReference):
            return True
        if isinstance(value, ConfigDict) and _has_references(value):
            return True
    return False


def _followed(config, overrides):
    """A copy in which what refers to an overridden field has followed it."""
    copied = copy.deepcopy(config).unlock()
    for path, value in overrides.items():
        holder, name = _place(copied, path)
        assert isinstance(holder, ConfigDict)
        with holder.ignore_type():
            holder[name] = copy.deepcopy(value)
    return copied
