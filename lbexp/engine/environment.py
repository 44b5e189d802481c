"""Where a run ran: versions, code and machine."""

import datetime
import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys

import jax

_PACKAGES = (
    'lbexp',
    'jax',
    'jaxlib',
    'flax',
    'optax',
    'numpy',
    'tensorflow-datasets',
    'orbax-checkpoint',
)
_STARTED = datetime.datetime.now().astimezone().isoformat(timespec='milliseconds')
_OF_THE_START = ('command', 'started')  # what no two starts share


def environment() -> dict:
    """Versions, code and machine: what one needs to have the same numbers again."""
    return {
        'command': ' '.join([pathlib.Path(sys.executable).name, *sys.orig_argv[1:]]),
        'started': _STARTED,
        'python': platform.python_version(),
        'platform': platform.platform(),
        'processor': _processor(),
        'cores': os.cpu_count(),
        'devices': [f'{device.device_kind} {device.id}' for device in jax.devices()],
        'backend': jax.default_backend(),
        'git_commit': _git_commit(),
        'source': _source(),
        **_installed_versions(),
    }


def differences(before: dict, now: dict) -> list[str]:
    """What differs between two environments and may change numbers, in words."""
    words = []
    for name in now:
        if name not in _OF_THE_START and before.get(name) != now[name]:
            words.append(f'{name} {before.get(name)} there, {now[name]} now')
    return words


def code() -> dict:
    """What must be the same on all processes of a job, beside the configuration."""
    versions = {name: _version(name) for name in _PACKAGES}
    return {
        **versions,
        'git_commit': _git_commit(),
        'source': _source(),
        'python': platform.python_version(),
    }


def _installed_versions():
    versions = {}
    for package in _PACKAGES:
        version = _version(package)
        if version is not None:
            versions[package] = version
    return versions


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def _source():
    """A digest of all of lbexp's code: of two commits with changes that were not committed, git
    says the same."""
    digest, here = hashlib.sha256(), pathlib.Path(__file__).parents[1]
    for path in sorted(here.rglob('*.py')):
        digest.update(f'{path.relative_to(here)} '.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def _git_commit():
    here = pathlib.Path(__file__).parent
    try:
        describe = ['git', '-C', str(here), 'describe', '--always', '--dirty', '--abbrev=40']
        answer = subprocess.run(describe, capture_output=True, text=True, timeout=5)
        return answer.stdout.strip() or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def _processor():
    cpuinfo = pathlib.Path('/proc/cpuinfo')  # Linux; elsewhere the platform knows
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if 'model name' in line:
                return line.partition(':')[2].strip()
    return platform.processor()
