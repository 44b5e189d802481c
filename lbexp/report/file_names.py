"""Names of figures as names of their files."""

import re
from collections.abc import Sequence

from lbexp.results.distinct import distinct

_LONGEST = 100  # characters; a file system takes 255 bytes


def file_names(names: Sequence[str]) -> list[str]:
    """For each name one that every file system takes, and that none of the others has, in whatever
    case.

    Letters, digits, '_', '-' and '.' stay, but for a dot in front; the rest becomes '_'. Of equal
    names the later are numbered: 'loss', 'Loss_2'. So a name cannot lead out of the folder, whoever
    gave it.
    """
    return distinct(map(_file_name, names))


def _file_name(name):
    plain = re.sub(r'[^A-Za-z0-9_.-]', '_', name)
    return plain[:_LONGEST].lstrip('.') or '_'
