"""A workdir may be anybody's: nothing is written through a link in it to somewhere else."""

import itertools
import os
import pathlib
from collections.abc import Iterator

from lbexp.errors import Refusal


def refuse_links(folder: pathlib.Path, workdir: pathlib.Path):
    """Raises Refusal where something in `folder` of a workdir would have another file written.

    That is a link out of the workdir, and what is neither a file nor a folder: a pipe, a device.
    The workdir itself may be a link.
    """
    # Not Path.resolve, which may raise where links lead in a circle.
    home = pathlib.Path(os.path.realpath(workdir))
    for path in itertools.chain([folder], _entries(folder)):
        real = pathlib.Path(os.path.realpath(path))
        is_link = path.is_symlink() and path != workdir
        if is_link and not real.is_relative_to(home):
            rule = 'allowed: files in it. Remove it, or make the workdir itself the link'
            raise Refusal(f'{path}: found a link out of the workdir, to {real}; {rule}')
        if real.exists() and not (real.is_file() or real.is_dir()):
            rule = 'allowed: files and folders. Remove it'
            raise Refusal(f'{path}: found a pipe, socket or device; {rule}')


def _entries(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Links, and what is neither a file nor a folder, at any depth."""
    waiting = [str(folder)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:  # it is gone, or not there yet, or nobody may read it
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                yield pathlib.Path(entry.path)
