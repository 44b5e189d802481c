"""Files of the user's as examples of a trained task."""

import os
import pathlib
from typing import Any

from lbexp.config import lookup
from lbexp.datasets._archive import archive
from lbexp.datasets._as_trained import as_trained
from lbexp.errors import Refusal
from lbexp.local_path import local_path


def examples_of_file(path: str | os.PathLike[str], config: dict[str, Any]) -> dict[str, Any]:
    """{name: array} of the examples of a table, an archive or a folder of images.

    Args:
        config: of the trial, resolved. Where its workload is a task on a data set, the file is read
            as that was; an archive may also have the arrays of the training examples, by name.

    Raises:
        Refusal: what it holds is not what was trained on.
        ValueError: it cannot be read.
    """
    file = local_path(os.fspath(path), 'data')
    if not file.exists():
        raise Refusal(f'data: found no {str(path)!r}; allowed: a file or folder')
    part = config['workload'].get('data')
    if isinstance(part, str):
        part = lookup.spelled_out('data', part)
    data = None if part is None else lookup.build('data', part)
    # Data sets of lbexp say nothing of files: an archive has their arrays as they are stored.
    if _is_archive(file) and (data is None or not data.schema):
        return archive(file).arrays
    if data is None or data.target.kind not in ('class', 'number'):
        name = config['workload']['name']
        rule = f'allowed: an archive (.npz) of the training arrays, for workload {name}'
        raise Refusal(f'data: found {str(path)!r}; {rule}')
    return as_trained(file, data, part.get('size'))


def _is_archive(file: pathlib.Path) -> bool:
    return file.suffix == '.npz' and file.is_file()
