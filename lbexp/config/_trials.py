"""The trials of a configuration."""

import copy
import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict, FieldReference

from lbexp.config._plain import plain
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
    return [trial if isinstance(trial, Trial) else Trial(dict(trial)) for trial in trials]


def trials(config: ConfigDict) -> list[dict[str, Any]]:
    """The overrides of each trial: the points of the search, each with the product of the sweep,
    last axis fastest.

    One empty dict without either. Values are plain data.
    """
    axes = [_searched(**plain(config.search))] if config.search else []
    for paths, values in plain(config.sweep):
        points = [[value] for value in values] if isinstance(paths, str) else values
        paths = [paths] if isinstance(paths, str) else paths
        axes.append([dict(zip(paths, point, strict=True)) for point in points])
    return [_merged(points) for points in itertools.product(*axes)]


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
    resolved = plain(config)
    for name in SPANNING:
        del resolved[name]
    for path, value in overrides.items():
        holder, name = _place(resolved, path)
        holder[name] = copy.deepcopy(value)  # a later path may lead into it
    return resolved


def _place(config, path):
    """The dict that holds the field `path`, and the field's name in it."""
    *parents, name = path.split('.')
    holder = config
    for i, parent in enumerate(parents, 1):
        value = holder.get(parent)
        if not isinstance(value, (dict, ConfigDict)):
            where = '.'.join(parents[:i])
            raise Refusal(
                f'{path}: found {value!r} as {where}; allowed: a dict, where a field '
                'of it is set as well'
            )
        holder = value
    return holder, name


def _merged(points):
    merged = {}
    for point in points:
        merged |= point
    return merged


def _searched(trials, space, **settings):
    return search({path: tuple(axis) for path, *axis in space}, trials, **settings)


def _has_references(config):
    fields = config._fields.values()
    return any(
        isinstance(value, FieldReference)
        or (isinstance(value, ConfigDict) and _has_references(value))
        for value in fields
    )


def _followed(config, overrides):
    """A copy in which what refers to an overridden field has followed it."""
    copied = copy.deepcopy(config).unlock()
    for path, value in overrides.items():
        holder, name = _place(copied, path)
        assert isinstance(holder, ConfigDict)
        with holder.ignore_type():
            holder[name] = copy.deepcopy(value)
    return copied
