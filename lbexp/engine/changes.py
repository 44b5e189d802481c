"""What differs between the run that a workdir was begun with and the one that is asked for."""

import json
import pathlib
from typing import Any

from lbexp import dotted
from lbexp.config import fields
from lbexp.errors import Refusal

# what is other than before where other trials are asked for, which no flag allows
_OTHER_TRIALS = ('trials.', 'sweep', 'search', 'study.name')


def changes_of(there: dict, now: dict, grows: bool) -> dict[str, list]:
    """{path: [there, now]} of what differs between two of config.json.

    Args:
        grows: what only adds trials is no change.
    """
    old = flatten(there['config'], there['trials'])
    new = flatten(now['config'], now['trials'])
    if grows:
        old = _without_growth(old, old)
        new = _without_growth(new, old)
    # A later round may have more parts; a version before this one told no fingerprint.
    old_code, new_code = fingerprint_of(there), fingerprint_of(now)
    for name in old_code.keys() & new_code.keys():
        old[name], new[name] = old_code[name], new_code[name]
    changes = {}
    for path in {**old, **new}:
        if old.get(path) != new.get(path):
            changes[path] = [old.get(path), new.get(path)]
    return changes


def argument_changes(there: dict, now: dict) -> dict[str, list]:
    """{path: [there, now]} of the arguments of the study that differ: what only adds trials, and
    what claims are judged by. None of it changes a trial, but whoever reads a verdict has to know
    that a margin, or a number of seeds, was chosen after there were results."""
    old, new = flatten(there['config'], []), flatten(now['config'], [])
    changes = {}
    for path in {**old, **new}:
        if _is_argument(path) and old.get(path) != new.get(path):
            changes[path] = [old.get(path), new.get(path)]
    return changes


def _without_growth(flat, before):
    """What does not only add trials to those of `before`."""
    remaining = {}
    for path, value in flat.items():
        is_new_trial = path.startswith('trials.') and path not in before
        if not is_new_trial and not _growing(path):
            remaining[path] = value
    return remaining


def _growing(path):
    """Whether the field says only how many trials are wanted."""
    return path == 'search.trials' or _is_argument(path)


def _is_argument(path):
    return path.startswith('study.') and path != 'study.name'


def computing(changes: dict[str, list]) -> list[str]:
    """The changed paths that say what is computed, not how it is watched over."""
    return [path for path in changes if path not in fields.watching()]


def shown(value: Any) -> str:
    """A value in a message; of a digest, its beginning."""
    if isinstance(value, str) and len(value) == 64:
        return value[:8]
    return repr(value)


def refuse(workdir: pathlib.Path, changes: dict[str, list], may_change: bool | None) -> None:
    """Raises Refusal where what is computed has changed and may not; None: it never may."""
    paths = computing(changes)
    never = may_change is None or any(path.startswith(_OTHER_TRIALS) for path in changes)
    if not paths or (may_change and not never):
        return
    listed = []
    for path in paths[:5]:
        old, new = map(shown, changes[path])
        listed.append(f'{path}: {old} there, {new} now')
    if len(paths) > 5:
        listed.append('...')
    remedy = 'Choose another --workdir'
    if not never:
        remedy += ', or give --allow_config_change'
    raise Refusal(
        f'workdir {str(workdir)!r} holds a run with another configuration '
        f'({"; ".join(listed)}). {remedy}'
    )


def flatten(config: dict, trials: list[dict]) -> dict[str, Any]:
    """{path: value} of the configuration, and of each trial's overrides."""
    overrides = {}
    for i, trial in enumerate(trials):  # an entry of config.json, or bare overrides
        overrides[str(i)] = trial.get('overrides', trial)
    flat = dotted.flatten({**config, 'trials': overrides})
    # as it reads in config.json
    return json.loads(json.dumps(flat, default=list))


def fingerprint_of(document: dict | None) -> dict[str, str]:
    """That of config.json; empty where there is none, or an older version wrote it."""
    return (document or {}).get('fingerprint', {})
