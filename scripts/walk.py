"""Counts the files that a reader visits who follows `config` from lbexp.main to the first row.

    python scripts/walk.py

One tiny run is traced until its first row is written. A room is a file of lbexp with a function
that is called with `config`; a climb is a call of such a function from another file, counted once
for each pair of functions; a return is the way back where the function returns something.
"""

import os
import pathlib
import sys
import tempfile
from types import CodeType, FrameType
from typing import Any

os.environ.setdefault('JAX_PLATFORMS', 'cpu')

from lbexp import main
from lbexp.engine.metrics_file import MetricsWriter

ROOT = pathlib.Path(main.__file__).parent
ARGUMENTS = [
    '--config=lamb',
    '--config.workload.hidden=(4,)',
    '--config.epochs=None',
    '--config.steps=4',
    '--config.num_rows=2',
    '--config.num_evaluations=1',
    '--config.num_checkpoints=0',
    '--figures=',
]


class Walk:
    """What `config` passes through, as a profiler sees it."""

    def __init__(self):
        self.rooms: dict[str, list[str]] = {}  # file -> its functions, in the order of the walk
        self.climbs: set[tuple[CodeType, CodeType]] = set()
        self.returns: set[tuple[CodeType, CodeType]] = set()

    def __call__(self, frame: FrameType, event: str, value: Any) -> None:
        code, caller = frame.f_code, frame.f_back
        if event not in ('call', 'return') or not _takes_config(code):
            return
        # Through frames of others, such as a wrapper of functools.
        while caller is not None and not _is_ours(caller.f_code):
            caller = caller.f_back
        if event == 'call':
            functions = self.rooms.setdefault(_room(code), [])
            if code.co_name not in functions:
                functions.append(code.co_name)
        if caller is None or caller.f_code.co_filename == code.co_filename:
            return
        pair = (caller.f_code, code)
        if event == 'call':
            self.climbs.add(pair)
        elif value is not None:
            self.returns.add(pair)


def _takes_config(code):
    return _is_ours(code) and 'config' in code.co_varnames[: code.co_argcount]


def _is_ours(code):
    return code.co_filename.startswith(str(ROOT) + os.sep)


def _room(code):
    return str(pathlib.Path(code.co_filename).relative_to(ROOT))


def walk() -> Walk:
    """The walk of a run in a folder that is thrown away."""
    found, write = Walk(), MetricsWriter.write

    def last(self, rows):
        sys.setprofile(None)
        return write(self, rows)

    MetricsWriter.write = last
    with tempfile.TemporaryDirectory() as folder:
        sys.setprofile(found)
        try:
            status = main.main(['main', *ARGUMENTS, f'--workdir={folder}/run'])
        finally:
            sys.setprofile(None)
            MetricsWriter.write = write
    if status:
        raise SystemExit(status)
    return found


if __name__ == '__main__':
    found = walk()
    print()
    for room, functions in found.rooms.items():
        print(f'{room:32} {", ".join(functions)}')
    print(f'{len(found.rooms)} rooms, {len(found.climbs)} climbs, {len(found.returns)} returns')
