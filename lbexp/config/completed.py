"""Configurations that an older version wrote: fields that it did not know yet."""

import copy
import json
from typing import Any

from lbexp.config.fields import ABSENT, FIELDS


def completed(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The configuration of a workdir with the defaults of the fields that it lacks, and their
    names.

    A default says what was done before there was the field.

    Args:
        config: as config.json has it.
    """
    whole, absent = copy.deepcopy(config), []
    for field in FIELDS:
        group, _, name = field.name.rpartition('.')
        holder = whole[group] if group else whole
        # What is no dict, the check of the configuration refuses.
        if field.default is ABSENT or not isinstance(holder, dict) or name in holder:
            continue
        holder[name] = json.loads(json.dumps(field.default))  # lists, as config.json has them
        if group not in absent:
            absent.append(field.name)
    return whole, absent
