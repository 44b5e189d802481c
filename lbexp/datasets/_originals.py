"""Pictures and labels in the files that their makers publish: IDX, CIFAR's records, NumPy
archives. All without TensorFlow, and without reading pickles."""

import functools
import gzip
import pathlib
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from lbexp.datasets._archive import archive
from lbexp.datasets._decoded import stamp
from lbexp.local_path import local_path

Arrays = dict[str, np.ndarray]  # 'image': uint8 [n, h, w, c], 'label': int32 [n]


def parts(path: str, read: Callable[..., tuple[Arrays, Arrays]], *options: str):
    """(train, test) of read(folder, *options), once for a folder as it is.

    Raises:
        ValueError: there is no such folder, or what `read` raises.
    """
    folder = local_path(path, 'path')
    if not folder.is_dir():
        raise ValueError(f'path: found no folder {str(folder)!r}; allowed: that of the files')
    return _read(read, folder, options, stamp(folder))


# `stamp` is for the cache alone: files that have changed are read anew.
@functools.lru_cache(4)
def _read(read, folder, options, stamp):
    return read(folder, *options)


def first_file(folder: pathlib.Path, names: Sequence[str]) -> pathlib.Path | None:
    """The first of these that is there, packed by gzip or not; None: there is none."""
    for name in names:
        for file in (folder / name, folder / f'{name}.gz'):
            if file.is_file():
                return file
    return None


def missing(folder: pathlib.Path, *names: str) -> ValueError:
    """What to say where the files are not there."""
    return ValueError(f'path: found no {names[0]} in {folder}; allowed: {", ".join(names)}')


def content(file: pathlib.Path) -> bytes:
    """Its bytes, unpacked.

    Raises:
        ValueError: damaged.
    """
    raw = file.read_bytes()
    if file.suffix != '.gz':
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f'{file}: cannot be read ({error}); allowed: a gzip file') from error


def idx(file: pathlib.Path, rank: int) -> np.ndarray:
    """uint8, of a file of the MNIST format: zero, zero, type, rank, sizes (big-endian), bytes.

    Raises:
        ValueError: it is no such file.
    """
    raw = content(file)
    begin = 4 + 4 * rank
    # Filled up with zeros: a file that ends before is told by its sizes, not by NumPy.
    sizes = np.frombuffer(raw[4:begin].ljust(4 * rank, b'\0'), '>u4').astype(int)
    if raw[:4] != bytes([0, 0, 8, rank]) or len(raw) - begin != sizes.prod():
        rule = f'allowed: an IDX file of bytes with {rank} axes'
        raise ValueError(f'{file}: found {len(raw)} bytes, sizes {sizes.tolist()}; {rule}')
    return np.frombuffer(raw, np.uint8, offset=begin).reshape(sizes)


def labelled(images: np.ndarray, labels: np.ndarray, classes: int, where: pathlib.Path) -> Arrays:
    """Pictures [n, h, w] or [n, h, w, c] with their labels.

    Raises:
        ValueError: their numbers differ, or labels are no classes.
    """
    if images.ndim == 3:
        images = images[..., None]
    if len(images) != len(labels) or images.dtype != np.uint8 or images.ndim != 4:
        shapes = f'{images.dtype} {images.shape}, labels {labels.shape}'
        raise ValueError(f'{where}: found {shapes}; allowed: bytes [n, h, w], labels [n]')
    labels = labels.reshape(-1).astype(np.int32)
    if not len(labels) or labels.min() < 0 or labels.max() >= classes:
        limits = f'{labels.min()} .. {labels.max()}' if len(labels) else 'of no examples'
        raise ValueError(f'{where}: found labels {limits}; allowed: 0 .. {classes - 1}')
    return {'image': np.ascontiguousarray(images), 'label': labels}


def idx_parts(folder: pathlib.Path, prefix: str, classes: int) -> tuple[Arrays, Arrays] | None:
    """(train, test) of the four IDX files, with `prefix` before their names; None: not there."""
    examples = []
    for part in ('train', 'test' if prefix else 't10k'):
        files = []
        for name in ('images-idx3-ubyte', 'labels-idx1-ubyte'):
            dotted = name.replace('-idx', '.idx')
            names = [f'{prefix}{part}-{each}' for each in (name, dotted)]
            files.append(first_file(folder, names))
        of_images, of_labels = files
        if of_images is None or of_labels is None:
            return None
        arrays = idx(of_images, 3), idx(of_labels, 1)
        examples.append(labelled(*arrays, classes, of_images))
    return examples[0], examples[1]


def archive_parts(file: pathlib.Path, classes: int) -> tuple[Arrays, Arrays]:
    """(train, test) of an archive of x_train, y_train, x_test, y_test, as Keras has them.

    Raises:
        ValueError: it holds something else.
    """
    columns = archive(file)
    if columns.test is None or columns.arrays.keys() != {'x', 'y'}:
        rule = 'allowed: x_train, y_train, x_test, y_test'
        raise ValueError(f'{file}: found {", ".join(columns.arrays)}; {rule}')
    x, y, is_test = columns.arrays['x'], columns.arrays['y'], columns.test
    train = labelled(x[~is_test], y[~is_test], classes, file)
    return train, labelled(x[is_test], y[is_test], classes, file)


def records(files: Sequence[pathlib.Path], labels: int, classes: int, place: int = 0) -> Arrays:
    """Pictures 32 x 32 x 3 of CIFAR's binary files, whose records are bytes: labels, and the red,
    the green and the blue pixels by row.

    Args:
        labels: of a picture.
        place: of the label that is meant, among them.

    Raises:
        ValueError: a file that is no whole number of records.
    """
    size, rows = labels + 3072, []
    for file in files:
        raw = np.frombuffer(content(file), np.uint8)
        if not raw.size or raw.size % size:
            rule = f'allowed: a multiple of {size}, records of a label and a picture'
            raise ValueError(f'{file}: found {raw.size} bytes; {rule}')
        rows.append(raw.reshape(-1, size))
    table = np.concatenate(rows)
    pixels = table[:, labels:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return labelled(pixels, table[:, place], classes, files[0])
