"""Where prepared data sets lie, and what to do when one does not."""

import os
import pathlib
from collections.abc import Iterable

from lbexp.config import lookup
from lbexp.local_path import local_path

# What builders.py can prepare, and the versions that results are about.
VERSIONS = {
    'digits': '1.1.0',
    'fashion_mnist': '3.0.1',
    'kmnist': '3.0.1',
    'mnist': '3.0.1',
    'mnist1d': '1.0.0',
}
EMBEDDED = ('digits', 'mnist1d')  # they need no download
SPLITS = ('train', 'test')


def prepared(name: str, split: str) -> list[pathlib.Path]:
    """The array_record files of one split of `name`.

    What the package embeds is prepared on the way; nothing else is ever prepared unasked, or
    replaced.

    Args:
        name: a key of VERSIONS.
        split: one of SPLITS.

    Raises:
        ValueError: no such data set or split, not prepared, or a file is missing; the message gives
            the remedy.
    """
    known(name)
    if split not in SPLITS:
        raise ValueError(f'{name} has no split {split!r}; it has: {", ".join(map(repr, SPLITS))}')
    folder = complete(name)
    if folder is None and name in EMBEDDED:
        from lbexp.data.prepare import prepare

        folder = prepare(name)
    if folder is None:
        raise ValueError(
            f'{name} {VERSIONS[name]} is not prepared in {data_dir()}. Run: python -m '
            f'lbexp.data.prepare {name} '
            '(with --from=DIR when its files are on this machine already)'
        )
    files = sorted(folder.glob(f'{name}-{split}.array_record*'))
    if not files:
        raise damaged(folder / f'{name}-{split}.array_record*', 'no such file')
    return files


def complete(name: str) -> pathlib.Path | None:
    """The folder of `name` prepared in array_record; None: there is none."""
    folder = data_dir() / name / VERSIONS[name]
    is_written = (folder / 'dataset_info.json').exists()
    # A preparation with TensorFlow may be there in tfrecord.
    if is_written and any(folder.glob('*.array_record*')):
        return folder
    return None


def data_dir() -> pathlib.Path:
    """TFDS_DATA_DIR, or ~/tensorflow_datasets as TFDS has it."""
    return local_path(os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets', 'TFDS_DATA_DIR')


def known(name: str, others: Iterable[str] = ()) -> None:
    """Raises ValueError unless `name` is a key of VERSIONS; `others` are named beside them."""
    if name not in VERSIONS:
        names = [*VERSIONS, *others]
        hint = lookup.nearest(name, names)
        raise ValueError(f'no data set is named {name!r}.{hint} There are: {", ".join(names)}')


def damaged(file: pathlib.Path, why: object) -> ValueError:
    """What to say about a prepared file that cannot be read."""
    folder = file.parent
    lines = str(why).splitlines() or [repr(why)]
    return ValueError(
        f'{file}: damaged ({lines[0]}). Delete {folder} and run: '
        f'python -m lbexp.data.prepare {folder.parent.name}'
    )
