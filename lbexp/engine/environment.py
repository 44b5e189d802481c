"""Where a run ran: versions, code and machine."""

import datetime
import functools
import os
import pathlib
import platform
import subprocess
import sys

import jax

from lbexp.engine.versions import PACKAGES, installed_versions, source, version_of

# Of this process: `record` tells by it whether another one goes on.
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
        'source': source(),
        **installed_versions(),
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
    versions = {name: version_of(name) for name in PACKAGES}
    return {
        **versions,
        'git_commit': _git_commit(),
        'source': source(),
        'python': platform.python_version(),
    }


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
