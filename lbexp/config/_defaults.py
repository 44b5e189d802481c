"""The defaults of fields that are in a dict of their own, where whoever set the dict wrote some of
them alone."""

import copy
from typing import Any

from ml_collections import ConfigDict, config_dict

from lbexp.config.fields import ABSENT, FIELDS


def fill_in(config: ConfigDict | dict[str, Any]) -> None:
    """Sets, in place, what a dict such as `init_from` lacks: `c.init_from = dict(weights='runs/a')`
    is `c.init_from.weights = 'runs/a'`.

    Fields that are in no dict are left as they are, and so is a dict that is none: the check of
    the configuration says what is wrong with either.

    Args:
        config: a configuration, or that of one trial as plain data.
    """
    for field in FIELDS:
        group, _, name = field.name.rpartition('.')
        if not group or field.default is ABSENT:
            continue
        holder = stored(config, group)
        if isinstance(holder, ConfigDict) and name not in holder:
            with holder.unlocked():
                holder[name] = copy.copy(field.default)
        elif isinstance(holder, dict):
            holder.setdefault(name, _plain(field.default))


def stored(holder: ConfigDict | dict[str, Any], name: str) -> Any:
    """The value of a field; None: it is not there, or a required one that is not set."""
    try:
        return holder.get(name)
    except config_dict.RequiredValueError:
        return None


def _plain(default):
    """As plain data have it."""
    return list(default) if isinstance(default, tuple) else default
