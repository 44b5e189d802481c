"""What is there: devices, driver, versions, data sets."""

import importlib.metadata
import os
import pathlib
import platform
import re
import subprocess
import time

from accelerator.record import Record

_ROOT = pathlib.Path(__file__).parent.parent.parent
_QUERY = 'name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit'


def measure(record: Record, quick: bool, deadline: float) -> None:
    record.add('machine', f'{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}')
    record.add('Python', platform.python_version())
    _versions(record)
    with record.trying('driver'):
        record.add('driver', _driver())
    with record.trying('commit'):
        record.add('commit', _commit())
    with record.trying('devices'):
        began = time.perf_counter()
        import jax

        devices = jax.devices()
        record.add('jax starts', time.perf_counter() - began, 's')
        record.add('backend', jax.default_backend())
        record.add('devices', ', '.join(device.device_kind for device in devices))
        record.add('platform version', devices[0].client.platform_version.replace('\n', ' '))
        limit = (devices[0].memory_stats() or {}).get('bytes_limit')
        if limit:
            record.add('memory of the pool', limit / 2**30, 'GiB')
    with record.trying('data sets'):
        from lbexp.data import prepared

        for name in ('digits', 'mnist1d', 'fashion_mnist'):
            folder = prepared.complete(name)
            record.add(f'data {name}', 'prepared' if folder else 'absent')


def _versions(record):
    """Installed versions of what requirements.txt names, and of jax's plugins."""
    names = ['jaxlib', 'jax-cuda12-plugin', 'jax-cuda13-plugin']
    for line in (_ROOT / 'requirements.txt').read_text().splitlines():
        name = re.match(r'[A-Za-z0-9_.\-]+', line)
        if name:
            names.append(name[0])
    absent = []
    for name in names:
        try:
            record.add(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    record.add('not installed', ', '.join(absent) or 'nothing')


def _driver():
    command = ['nvidia-smi', f'--query-gpu={_QUERY}', '--format=csv,noheader']
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f'nvidia-smi: {type(error).__name__}'
    return (done.stdout or done.stderr).strip().replace('\n', '; ')


def _commit():
    command = ['git', 'rev-parse', '--short', 'HEAD']
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f'git: {type(error).__name__}'
    return done.stdout.strip() or 'unknown'
