"""What differs between the run that a workdir was begun with and the one that is asked for."""

import json
import pathlib
from typing import Any

from lbexp.config import fields
from lbexp.errors import Refusal


def changes_of(there: dict, now: dict, grows: bool) -> dict[str, list]:
    """{path: [there, now]} of what differs between two of config.json.

    Args:
        grows: what only adds trials is no change.
    """
    old, new = flatten(there['config'], there['trials']), flatten(now['config'], now['trials'])
    if grows:  # what is new is no change
        new = {
            path: value
            for path, value in new.items()
            if not path.startswith('trials.') or path in old
        }
        old, new = (
            {path: value for path, value in f.items() if not _growing(path)} for f in (old, new)
        )
    # A later round may have more parts; a version before this one told no fingerprint.
    shared = fingerprint_of(there).keys() & fingerprint_of(now).keys()
    old |= {name: fingerprint_of(there)[name] for name in shared}
    new |= {name: fingerprint_of(now)[name] for name in shared}
    return {k: [old.get(k), new.get(k)] for k in {**old, **new} if old.get(k) != new.get(k)}


def _growing(path):
    """Whether the field says only how many trials are wanted."""
    return path == 'search.trials' or (path.startswith('study.') and path != 'study.name')


def computing(changes: dict[str, list]) -> list[str]:
    """The changed paths that say what is computed, not how it is watched over."""
    return [path for path in changes if path not in fields.watching()]


def shown(value: Any) -> str:
    """A value in a message; of a digest, its beginning."""
    return value[:8] if isinstance(value, str) and len(value) == 64 else repr(value)


def refuse(workdir: pathlib.Path, changes: dict[str, list], may_change: bool | None) -> None:
    """Raises Refusal where what is computed has changed and may not; None: it never may."""
    listed = [
        f'{path}: {shown(changes[path][0])} there, {shown(changes[path][1])} now'
        for path in computing(changes)
    ]
    others = may_change is None or any(
        path.startswith(('trials.', 'sweep', 'search', 'study.name')) for path in changes
    )
    if listed and (others or not may_change):
        remedy = (
            'Choose another --workdir'
            if others
            else ('Choose another --workdir, or give --allow_config_change')
        )
        raise Refusal(
            f'workdir {str(workdir)!r} holds a run with another configuration '
            f'({"; ".join(listed[:5])}{"; ..." if len(listed) > 5 else ""}). {remedy}'
        )


def flatten(config: dict, trials: list[dict]) -> dict[str, Any]:
    """{path: value} of the configuration, and of each trial's overrides."""
    overrides = {str(i): trial.get('overrides', trial) for i, trial in enumerate(trials)}
    return json.loads(json.dumps(dict(_flat({**config, 'trials': overrides})), default=list))


def _flat(value, path=''):
    if isinstance(value, dict) and value:
        for k, v in value.items():
            yield from _flat(v, f'{path}.{k}'.lstrip('.'))
    else:
        yield path, value


def fingerprint_of(document: dict | None) -> dict[str, str]:
    """That of config.json; empty where there is none, or an older version wrote it."""
    return (document or {}).get('fingerprint', {})
