"""What a workdir says about its run: config.json, status.json."""

import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys

import jax

from lbexp.engine.rows import replace

_PACKAGES = ('lbexp', 'jax', 'jaxlib', 'flax', 'optax', 'numpy', 'tensorflow-datasets', 'orbax-checkpoint')


def record(workdir: pathlib.Path, config: dict, trials: list[dict], grows: bool = False) -> list[dict]:
    """Writes config.json: the resolved configuration, the overrides of each trial, and where it ran.

    A workdir belongs to one configuration: what was begun can only be gone on with. Where it `grows`, trials that are
    not there yet are added as a round of their own, and the arguments of the study may change.

    Returns:
        The trials of the workdir: {'trial': number, 'round': in which they came, 'overrides': {path: value}}.

    Raises:
        ValueError: the workdir holds another configuration; the message lists the differences.
    """
    path = workdir / 'config.json'
    config, trials = json.loads(json.dumps([config, trials], default=list))
    there = json.loads(path.read_text()) if path.exists() else None
    before = there['trials'] if there and grows else []
    fresh = [overrides for overrides in trials if overrides not in [entry['overrides'] for entry in before]]
    number = 1 + max((entry['round'] for entry in before), default=-1)
    added = [{'trial': i, 'round': number, 'overrides': o} for i, o in enumerate(fresh, len(before))]
    now = {'config': config, 'trials': [*before, *added]}
    if there:
        _refuse_changes(workdir, there, now, grows)
    if not there or (grows and now != {'config': there['config'], 'trials': there['trials']}):
        workdir.mkdir(parents=True, exist_ok=True)
        where = there['environment'] if there else environment()
        replace(path, json.dumps({**now, 'environment': where}, indent=1).encode())
    return now['trials']


def _refuse_changes(workdir, there, now, grows):
    old, new = _facts(there), _facts(now)
    if grows:  # what is new is no change
        new = {path: value for path, value in new.items() if not path.startswith('trials.') or path in old}
        old, new = ({p: v for p, v in f.items() if p == 'study.name' or not p.startswith('study.')} for f in (old, new))
    changed = [f'{k}: {old.get(k)!r} there, {new.get(k)!r} now' for k in {**old, **new} if old.get(k) != new.get(k)]
    if changed:
        told = '; '.join(changed[:5]) + ('; ...' if len(changed) > 5 else '')
        raise ValueError(
            f'workdir {str(workdir)!r} holds a run with another configuration ({told}). '
            'Choose another --workdir, or delete it'
        )


def statuses(workdir: pathlib.Path) -> dict[int, dict]:
    """By trial, the status that status.json tells; empty when there is none."""
    path = workdir / 'status.json'
    if not path.exists():
        return {}
    return {int(trial): status for trial, status in json.loads(path.read_text())['trials'].items()}


def write_status(workdir: pathlib.Path, status: str, trials: dict[int, dict]):
    """Writes status.json whole: 'running', 'done', 'preempted' or 'failed', and each trial's status and step."""
    replace(workdir / 'status.json', json.dumps({'status': status, 'trials': trials}, indent=1).encode())


def environment() -> dict:
    """Versions, code and machine: what one needs to have the same numbers again."""
    return {
        'command': ' '.join([pathlib.Path(sys.executable).name, '-m', 'lbexp.main', *sys.argv[1:]]),
        'python': platform.python_version(),
        'platform': platform.platform(),
        'processor': _processor(),
        'cores': os.cpu_count(),
        'devices': [f'{d.device_kind} {d.id}' for d in jax.devices()],
        'backend': jax.default_backend(),
        'git_commit': _git_commit(),
        **{name: version for name in _PACKAGES if (version := _version(name))},
    }


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


def _facts(document):
    """{path: value} of the configuration, and of each trial's overrides."""
    trials = {str(t['trial']): t['overrides'] for t in document['trials']}
    return dict(_flat({**document['config'], 'trials': trials}))


def _flat(value, path=''):
    if isinstance(value, dict) and value:
        for k, v in value.items():
            yield from _flat(v, f'{path}.{k}'.lstrip('.'))
    else:
        yield path, value
