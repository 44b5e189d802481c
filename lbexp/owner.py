"""Which process something belongs to, so that another can tell whether that process is still
there."""

import os
import pathlib
import platform

import msgspec

from lbexp import documents
from lbexp.errors import Refusal

FILE = 'owner.json'  # of a workdir, while a process is at it


class _Owner(msgspec.Struct):
    host: str
    pid: int
    place: str
    started: str


def owner() -> dict:
    """This process, as plain data."""
    return {
        'host': platform.node(),
        'pid': os.getpid(),
        'place': place(),
        'started': started(os.getpid()),
    }


def is_gone(owner: dict) -> bool:
    """Whether that process has ended, as far as can be seen from here: on another host it
    cannot."""
    is_here = bool(owner.get('place')) and owner['place'] == place()
    return is_here and started(owner.get('pid', 0)) != owner.get('started')


def is_at(workdir: pathlib.Path) -> bool:
    """Whether a process is at a workdir, as far as can be seen: status.json says 'running' after a
    kill, too."""
    try:
        return not is_gone(documents.document(workdir / FILE, _Owner))
    except FileNotFoundError:
        return False
    except (OSError, Refusal):  # it is just being written
        return True


def name(workdir: pathlib.Path) -> str:
    """Who is at a workdir, in words."""
    try:
        owner = documents.document(workdir / FILE, _Owner)
        return f'process {owner["pid"]} on host {owner["host"]}'
    except (OSError, Refusal):  # it has just begun, or just ended
        return 'another process'


def place() -> str:
    """The system and name space of this process, within which a pid means one process; '' where
    they have no name."""
    try:
        boot = pathlib.Path('/proc/sys/kernel/random/boot_id').read_text().strip()
        return f'{boot} {os.readlink("/proc/self/ns/pid")}'
    except OSError:
        return ''


def started(pid: int) -> str:
    """When a process was started, in ticks since its system was, as pids come again; '' when it has
    ended."""
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return ''
    # From field 3 on (proc(5)); field 2 is the program's name, which may hold blanks and ')'.
    state, *fields = stat.rpartition(')')[2].split()
    if state in 'ZX':  # it has ended, and its parent has not asked yet
        return ''
    return fields[18]
