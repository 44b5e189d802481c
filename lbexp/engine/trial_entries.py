"""The trials of config.json: those that are there, and those that a round asks for."""

import json
from collections.abc import Sequence
from typing import Any

from lbexp.config import Trial
from lbexp.engine.changes import fingerprint_of


def contents(
    there: dict | None,
    config: dict,
    trials: Sequence[Trial],
    grows: bool,
    code: dict[str, str] | None,
) -> dict[str, Any]:
    """What config.json is to say of configuration, trials and code.

    Args:
        there: what it says; None: it is not there.
        trials: that are asked for.
        grows: trials that are there stay, and those that are not become a round of their own.
        code: the fingerprint of code and data; what it does not name is as it was.
    """
    code_there = fingerprint_of(there)
    fingerprint = {**code_there, **(code or {})}
    # Parts that a later round names for the first time change nothing of what is there.
    same_code = all(fingerprint[name] == digest for name, digest in code_there.items())
    before: list[dict[str, Any]] = []
    if there and grows:
        before = there['trials']
        if there['config'] != config or not same_code:
            before = [_without_tags(entry) for entry in before]
    return {'config': config, 'trials': _with_asked(before, trials), 'fingerprint': fingerprint}


def _with_asked(before, trials) -> list[dict[str, Any]]:
    """The entries that are there, and those of the trials that are not, as a round of their own."""
    entries: list[dict[str, Any]] = [dict(entry) for entry in before]
    by_overrides: dict[str, dict[str, Any]] = {}
    number = 0  # of the round
    for entry in entries:
        by_overrides[_key(entry['overrides'])] = entry
        number = max(number, entry['round'] + 1)
    for trial in trials:
        entry: dict[str, Any] | None = by_overrides.get(_key(trial.overrides))
        # A search over few integers meets them again: without tags both are trials.
        if entry is None or (entry['round'] == number and not trial.tags):
            entry = {'trial': len(entries), 'round': number, 'overrides': trial.overrides}
            entries.append(entry)
            by_overrides.setdefault(_key(trial.overrides), entry)
        if trial.tags and trial.tags not in entry.get('tags', []):
            entry['tags'] = [*entry.get('tags', []), trial.tags]
    return entries


def _key(overrides):
    return json.dumps(overrides, sort_keys=True)


def _without_tags(entry):
    return {name: value for name, value in entry.items() if name != 'tags'}
