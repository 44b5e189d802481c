"""Tests say what they need beside JAX: each that starts an interpreter, a browser or a launcher has
the mark, or it fails here.

`pytest -m 'not processes'` is then what runs where nothing may be started.
"""

import pathlib
import sys

import pytest

_LAUNCHERS = {'srun', 'sbatch', 'mpirun', 'slurmctld', 'slurmd', 'munged'}
_BROWSERS = {'chromium', 'chromium-browser', 'google-chrome'}
_running = []  # the test that runs


def _needed(command: str) -> str | None:
    """The mark of a test that starts the command."""
    name = pathlib.Path(command).name
    if name in _LAUNCHERS:
        return 'launchers'
    if name in _BROWSERS:
        return 'browser'
    return 'processes' if command == sys.executable else None


def _audit(event, arguments):
    if event != 'subprocess.Popen' or not _running:
        return
    # before an interpreter stands what limits it, as setpriv or sh do
    for word in map(str, arguments[1]):
        mark = _needed(word)
        if mark and _running[-1].get_closest_marker(mark) is None:
            pytest.fail(f'{_running[-1].nodeid} starts {word}: it needs @pytest.mark.{mark}')


sys.addaudithook(_audit)


def pytest_configure(config):
    """Leaves long tests out of `-m quick`, which takes the place of the expression that does."""
    if config.option.markexpr == 'quick':
        config.option.markexpr = 'quick and not long and not slow'


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()
