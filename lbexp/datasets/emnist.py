"""EMNIST: handwritten letters and digits, 28x28."""

import pathlib
import string
from typing import Literal

from lbexp.datasets import Dataset
from lbexp.datasets._originals import idx_parts, missing, parts
from lbexp.datasets._prepared import DIGITS, Options, labelled_images
from lbexp.ranges import Fraction, NonNegativeInteger, Number, PositiveInteger

_SOURCE = 'Cohen et al. 2017, arXiv:1702.05373, from NIST Special Database 19'
_UPPER, _LOWER = string.ascii_uppercase, string.ascii_lowercase
# of letters whose two forms are alike there is one class
_MERGED = (*DIGITS, *_UPPER, *'abdefghnqrt')
_CLASSES = {
    'balanced': _MERGED,
    'bymerge': _MERGED,
    'byclass': (*DIGITS, *_UPPER, *_LOWER),
    'letters': tuple(_LOWER),
    'digits': DIGITS,
    'mnist': DIGITS,
}


def emnist(
    path: str,
    part: Literal['balanced', 'byclass', 'bymerge', 'letters', 'digits', 'mnist'] = 'balanced',
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
    examples: PositiveInteger | None = None,
    label_noise: Fraction = 0.0,
) -> Dataset:
    """Images [28, 28, 1] of 10 to 62 classes, 70,000 to 814,255 of them (Cohen et al. 2017,
    arXiv:1702.05373); upright, as the files have rows and columns exchanged.

    Args:
        path: folder of the IDX files, packed or not: emnist-PART-train-images-idx3-ubyte, ...
        part: which of the six; 'letters' counts both forms of a letter as one.
        validation, replacement, fold, folds, augment, examples, label_noise: as in digits.

    Raises:
        ValueError: the files are not there, or damaged.
    """
    options = Options(validation, replacement, fold, folds, augment, examples, label_noise)
    train, test = parts(path, _read, part)
    return labelled_images(train, test, 1 / 255, _CLASSES[part], _SOURCE, options)


def _read(folder: pathlib.Path, part: str):
    first = 1 if part == 'letters' else 0  # label of the first class
    prefix, count = f'emnist-{part}-', len(_CLASSES[part])
    both = idx_parts(folder, prefix, count + first)
    if both is None:
        name = f'{prefix}train-images-idx3-ubyte'
        raise missing(folder, name, f'the four IDX files {prefix}...')
    upright = []
    for arrays in both:
        label = arrays['label'] - first
        if label.min() < 0:
            raise ValueError(f'{folder}: found label 0 in {prefix}...; allowed: 1 .. {count}')
        upright.append({'image': arrays['image'].transpose(0, 2, 1, 3).copy(), 'label': label})
    return upright[0], upright[1]
