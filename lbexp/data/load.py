"""Prepared data sets as NumPy arrays: read with TFDS from array_record, decoded once, kept beside them."""

import functools
import hashlib
import os
import pathlib

import filelock
import numpy as np

NAMES = ('digits', 'fashion_mnist', 'kmnist', 'mnist')  # what builders.py can prepare


@functools.cache
def load(name: str, split: str) -> dict[str, np.ndarray]:
    """{'image': uint8 [n, h, w, c], 'label': int32 [n]} of one split, in stored order.

    The first call decodes (seconds; imports TFDS); later ones, in this process or another, read the decoded copy,
    which is made again when the prepared files change. The digits come with the package and are prepared on the way.

    Args:
        name: one of NAMES.
        split: 'train' or 'test'.

    Raises:
        ValueError: no such data set or split, not prepared, or damaged; the message gives the remedy.
    """
    if name not in NAMES:
        from lbexp import lookup

        raise ValueError(f'no data set is named {name!r}.{lookup.nearest(name, NAMES)} There are: {", ".join(NAMES)}')
    with filelock.FileLock(_lock(name)):
        folder = prepared(name)
        if folder is None and name == 'digits':
            from lbexp.data.prepare import prepare

            folder = prepare(name)
        if folder is None:
            raise ValueError(
                f'{name} is not prepared in {data_dir()}. Run: python -m lbexp.data.prepare {name} '
                '(with --from=DIR when its files are on this machine already)'
            )
        return _decoded(name, split, folder)


def data_dir() -> pathlib.Path:
    """Where prepared data sets live: TFDS_DATA_DIR, or ~/tensorflow_datasets as TFDS has it."""
    return pathlib.Path(os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')).expanduser()


def prepared(name: str) -> pathlib.Path | None:
    """The folder of the newest prepared version of `name` in array_record; None: there is none."""
    versions = [path.parent for path in (data_dir() / name).glob('*/dataset_info.json')]
    versions = [folder for folder in versions if any(folder.glob('*.array_record*'))]
    return max(versions, key=lambda folder: [int(n) for n in folder.name.split('.')], default=None)


def _lock(name):
    folder = data_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f'{folder}: {error.strerror}. Set TFDS_DATA_DIR to a folder that can be written') from error
    return str(folder / f'.{name}.lock')


def _decoded(name, split, folder):
    """The decoded copy of a split, made now if there is none of these very files."""
    files = sorted(folder.glob(f'*-{split}.array_record*'))
    if not files:
        raise ValueError(f"{name} has no split {split!r}; it has: 'train', 'test'")
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    stamp = hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
    cache = folder / f'decoded-{split}-{stamp}.npz'
    if not cache.exists():
        arrays = _read(name, split, folder, files)
        for outdated in folder.glob(f'decoded-{split}-*'):
            outdated.unlink()
        beside = cache.with_suffix('.part.npz')
        np.savez(beside, **arrays)
        os.replace(beside, cache)
    with np.load(cache) as arrays:
        return dict(arrays)


def _read(name, split, folder, files):
    import tensorflow_datasets as tfds

    source = tfds.builder_from_directory(folder).as_data_source(split=split)
    try:
        examples = source.__getitems__(range(len(source)))
    except Exception as error:  # array_record and the image decoders raise what they like on damaged bytes
        raise ValueError(
            f'{", ".join(str(file) for file in files)}: damaged ({str(error).splitlines()[0]}). '
            f'Delete {folder} and run: python -m lbexp.data.prepare {name}'
        ) from error
    images = np.stack([example['image'] for example in examples])
    return {'image': images, 'label': np.array([example['label'] for example in examples], np.int32)}
