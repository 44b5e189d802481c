"""CIFAR-10: small pictures in colour."""

import pathlib

from lbexp.datasets import Dataset
from lbexp.datasets._originals import archive_parts, first_file, missing, parts, records
from lbexp.datasets._prepared import Options, labelled_images
from lbexp.ranges import Fraction, NonNegativeInteger, Number, PositiveInteger

_SOURCE = 'Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images'
_CLASSES = (
    'airplane',
    'automobile',
    'bird',
    'cat',
    'deer',
    'dog',
    'frog',
    'horse',
    'ship',
    'truck',
)


def cifar10(
    path: str,
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
    examples: PositiveInteger | None = None,
    label_noise: Fraction = 0.0,
) -> Dataset:
    """50,000 pictures [32, 32, 3] to train, 10,000 to test, of 10 classes (Krizhevsky 2009).

    `tfds` with dataset='cifar10' reads what TensorFlow Datasets has prepared.

    Args:
        path: folder of the binary version (cifar-10-batches-bin: data_batch_1.bin to _5.bin,
            test_batch.bin) or of cifar10.npz (x_train, y_train, x_test, y_test). The Python version
            is pickles, which are not read.
        validation, replacement, fold, folds, augment, examples, label_noise: as in digits.

    Raises:
        ValueError: the files are not there, or damaged.
    """
    options = Options(validation, replacement, fold, folds, augment, examples, label_noise)
    train, test = parts(path, _read)
    return labelled_images(train, test, 1 / 255, _CLASSES, _SOURCE, options)


def _read(folder: pathlib.Path):
    packed = folder / 'cifar10.npz'
    if packed.is_file():
        return archive_parts(packed, len(_CLASSES))
    names = [f'data_batch_{number}.bin' for number in range(1, 6)]
    names.append('test_batch.bin')
    files = []
    for name in names:
        file = first_file(folder, [name])
        if file is None:
            raise missing(folder, name, *names, 'or cifar10.npz')
        files.append(file)
    return records(files[:-1], 1, len(_CLASSES)), records(files[-1:], 1, len(_CLASSES))
