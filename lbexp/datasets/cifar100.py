"""CIFAR-100: small pictures in colour, of a hundred classes."""

import pathlib
from typing import Literal

from lbexp.datasets import Dataset
from lbexp.datasets._originals import first_file, missing, parts, records
from lbexp.datasets._prepared import Options, labelled_images
from lbexp.local_path import local_path
from lbexp.ranges import Fraction, NonNegativeInteger, Number, PositiveInteger

_SOURCE = 'Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images'
_COUNTS = {'coarse': 20, 'fine': 100}
_PLACES = {'coarse': 0, 'fine': 1}  # among the bytes of a record


def cifar100(
    path: str,
    labels: Literal['fine', 'coarse'] = 'fine',
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
    examples: PositiveInteger | None = None,
    label_noise: Fraction = 0.0,
) -> Dataset:
    """50,000 pictures [32, 32, 3] to train, 10,000 to test, of 100 classes in 20 groups (Krizhevsky
    2009).

    Args:
        path: folder of the binary version (cifar-100-binary: train.bin, test.bin, and
            fine_label_names.txt, coarse_label_names.txt). The Python version is pickles, which are
            not read.
        labels: 'fine': the 100 classes; 'coarse': the 20 groups.
        validation, replacement, fold, folds, augment, examples, label_noise: as in digits.

    Raises:
        ValueError: the files are not there, or damaged.
    """
    options = Options(validation, replacement, fold, folds, augment, examples, label_noise)
    train, test = parts(path, _read, labels)
    names = _names(path, labels)
    return labelled_images(train, test, 1 / 255, names, _SOURCE, options)


def _read(folder: pathlib.Path, labels: str):
    examples = []
    for name in ('train.bin', 'test.bin'):
        file = first_file(folder, [name])
        if file is None:
            raise missing(folder, name, 'train.bin', 'test.bin')
        examples.append(records([file], 2, _COUNTS[labels], _PLACES[labels]))
    return examples[0], examples[1]


def _names(path, labels):
    file = local_path(path, 'path') / f'{labels}_label_names.txt'
    names = tuple(file.read_text().split()) if file.is_file() else ()
    count = _COUNTS[labels]
    return names if len(names) == count else tuple(map(str, range(count)))
