"""Names of figures as names of their files."""

import re
from collections.abc import Sequence

_LONGEST = 100  # characters; a file system takes 255 bytes


def file_names(names: Sequence[str]) -> list[str]:
    """For each name one that every file system takes, and that none of the others has, in whatever
    case.

    Letters, digits, '_', '-' and '.' stay, but for a dot in front; the rest becomes '_'. Of equal
    names the later are numbered: 'loss', 'Loss_2'. So a name cannot lead out of the folder, whoever
    gave it.
    """
    taken, files = set(), []
    for name in names:
        base = re.sub(r'[^A-Za-z0-9_.-]', '_', name)[:_LONGEST].lstrip('.') or '_'
        file, number = base, 1
        while file.lower() in taken:
            number += 1
            file = f'{base}_{number}'
        taken.add(file.lower())
        files.append(file)
    return files
