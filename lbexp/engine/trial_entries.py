"""The trials of config.json: those that are there, and those that a round asks for."""

import json
from collections.abc import Sequence
from typing import Any

from lbexp.config import Trial


def with_asked(before: Sequence[dict], trials: Sequence[Trial]) -> list[dict[str, Any]]:
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


def without_tags(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry as nobody asked for it."""
    return {name: value for name, value in entry.items() if name != 'tags'}
