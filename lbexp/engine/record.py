"""What a workdir says about its run: config.json, status.json."""

import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax

from lbexp.config import fields, lookup
from lbexp.engine.rows import replace
from lbexp.errors import Refusal
from lbexp.parallel import hosts

_PACKAGES = ('lbexp', 'jax', 'jaxlib', 'flax', 'optax', 'numpy', 'tensorflow-datasets', 'orbax-checkpoint')


def record(
    workdir: pathlib.Path,
    config: dict,
    trials: list[dict],
    grows: bool = False,
    may_change: bool | None = False,
    announce: Callable[[str], Any] = lambda line: None,
) -> list[dict]:
    """Writes config.json: the resolved configuration, the overrides of each trial, and where it ran.

    A workdir belongs to one configuration: what was begun can only be gone on with. Where it `grows`, trials that are
    not there yet are added as a round of their own, and the arguments of the study and the length of a search may
    change. A change of how the run is watched over is announced and recorded under 'changes'; of what it computes, only
    where it `may_change` (None: it never may): every trial then goes on from its checkpoint, towards the new end.

    Returns:
        The trials of the workdir: {'trial': number, 'round': in which they came, 'overrides': {path: value}}.

    Raises:
        ValueError: the workdir holds another configuration, or other trials; the message lists the differences.
    """
    path = workdir / 'config.json'
    config, trials = json.loads(json.dumps([config, trials], default=list))
    there = json.loads(path.read_text()) if path.exists() else None
    before = there['trials'] if there and grows else []
    _refuse_foreign_names(path, before, [config, trials])
    fresh = [overrides for overrides in trials if overrides not in [entry['overrides'] for entry in before]]
    number = 1 + max((entry['round'] for entry in before), default=-1)
    added = [{'trial': i, 'round': number, 'overrides': o} for i, o in enumerate(fresh, len(before))]
    now = {'config': config, 'trials': [*before, *added]}
    changes = _changes(there, now, grows) if there else {}
    _refuse(workdir, changes, may_change)
    for changed, (old, new) in changes.items():
        announce(f'changed since the run was begun: {changed}: {old!r} there, {new!r} now')
    if not there or now != {'config': there['config'], 'trials': there['trials']}:
        workdir.mkdir(parents=True, exist_ok=True)
        document = {**now, 'environment': there['environment'] if there else environment()}
        history = [*(there or {}).get('changes', []), *([changes] if changes else [])]
        if _numeric(changes):  # no trial is through any more
            replace(workdir / 'status.json', json.dumps({'status': 'running', 'trials': {}}).encode())
        replace(path, json.dumps({**document, **({'changes': history} if history else {})}, indent=1).encode())
    return now['trials']


def note(workdir: pathlib.Path, name: str, value: Any):
    """Adds a fact about the run to the environment in config.json, if there is one."""
    path = workdir / 'config.json'
    if path.exists():
        document = json.loads(path.read_text())
        document['environment'][name] = value
        replace(path, json.dumps(document, indent=1).encode())


def _refuse_foreign_names(path, before, known):
    """Trials that are there already would be trained: what they name outside lbexp must be the user's own."""
    foreign = lookup.outside_names([entry['overrides'] for entry in before]) - lookup.outside_names(known)
    if foreign:
        rule = "allowed: lbexp's own parts, and what the configuration of this command names"
        raise Refusal(f'{path}: found {", ".join(sorted(foreign))} among the trials; {rule}')


def _changes(there, now, grows):
    """{path: [there, now]} of what differs."""
    old, new = facts(there['config'], there['trials']), facts(now['config'], now['trials'])
    if grows:  # what is new is no change
        new = {path: value for path, value in new.items() if not path.startswith('trials.') or path in old}
        old, new = ({path: value for path, value in f.items() if not _growing(path)} for f in (old, new))
    return {k: [old.get(k), new.get(k)] for k in {**old, **new} if old.get(k) != new.get(k)}


def _growing(path):
    """Whether the field says only how many trials are wanted."""
    return path == 'search.trials' or (path.startswith('study.') and path != 'study.name')


def _numeric(changes):
    return [path for path in changes if path not in fields.watching()]


def _refuse(workdir, changes, may_change):
    told = [f'{path}: {changes[path][0]!r} there, {changes[path][1]!r} now' for path in _numeric(changes)]
    others = may_change is None or any(
        path.startswith(('trials.', 'sweep', 'search', 'study.name')) for path in changes
    )
    if told and (others or not may_change):
        remedy = 'Choose another --workdir' if others else 'Choose another --workdir, or give --allow_config_change'
        raise ValueError(
            f'workdir {str(workdir)!r} holds a run with another configuration '
            f'({"; ".join(told[:5])}{"; ..." if len(told) > 5 else ""}). {remedy}'
        )


def statuses(workdir: pathlib.Path) -> dict[int, dict]:
    """By trial, the status that status.json tells; empty when there is none."""
    path = workdir / 'status.json'
    if not path.exists():
        return {}
    return {int(trial): status for trial, status in json.loads(path.read_text())['trials'].items()}


def write_status(workdir: pathlib.Path, status: str, trials: dict[int, dict]):
    """Writes status.json whole: 'running', 'done', 'preempted' or 'failed', and each trial's status and step."""
    if hosts.first():
        replace(workdir / 'status.json', json.dumps({'status': status, 'trials': trials}, indent=1).encode())


def environment() -> dict:
    """Versions, code and machine: what one needs to have the same numbers again."""
    return {
        'command': ' '.join([pathlib.Path(sys.executable).name, *sys.orig_argv[1:]]),
        'python': platform.python_version(),
        'platform': platform.platform(),
        'processor': _processor(),
        'cores': os.cpu_count(),
        'devices': [f'{d.device_kind} {d.id}' for d in jax.devices()],
        'backend': jax.default_backend(),
        'git_commit': _git_commit(),
        **{name: version for name in _PACKAGES if (version := _version(name))},
    }


def code() -> dict:
    """What must be the same on all processes of a job, beside the configuration."""
    versions = {name: _version(name) for name in _PACKAGES}
    return {**versions, 'git_commit': _git_commit(), 'python': platform.python_version()}


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit():
    here = pathlib.Path(__file__).parent
    try:
        describe = ['git', '-C', str(here), 'describe', '--always', '--dirty', '--abbrev=40']
        return subprocess.run(describe, capture_output=True, text=True, timeout=5).stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def _processor():
    cpuinfo = pathlib.Path('/proc/cpuinfo')
    if not cpuinfo.exists():
        return platform.processor()
    names = [line.partition(':')[2].strip() for line in cpuinfo.read_text().splitlines() if 'model name' in line]
    return names[0] if names else platform.processor()


def facts(config: dict, trials: list[dict]) -> dict[str, Any]:
    """{path: value} of the configuration, and of each trial's overrides."""
    overrides = {str(i): trial.get('overrides', trial) for i, trial in enumerate(trials)}
    return json.loads(json.dumps(dict(_flat({**config, 'trials': overrides})), default=list))


def _flat(value, path=''):
    if isinstance(value, dict) and value:
        for k, v in value.items():
            yield from _flat(v, f'{path}.{k}'.lstrip('.'))
    else:
        yield path, value
