"""MNIST: handwritten digits, 28x28."""

import pathlib

from lbexp.datasets import Dataset
from lbexp.datasets._originals import archive_parts, idx_parts, missing, parts
from lbexp.datasets._prepared import DIGITS, Options, labelled_images, prepared_images
from lbexp.ranges import Fraction, NonNegativeInteger, Number, PositiveInteger

_SOURCE = 'LeCun, Cortes, Burges: MNIST'


def mnist(
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
    examples: PositiveInteger | None = None,
    label_noise: Fraction = 0.0,
    path: str | None = None,
) -> Dataset:
    """60,000 images [28, 28, 1] to train, 10,000 to test, of 10 classes (LeCun et al. 1998).

    Args:
        validation, replacement, fold, folds, augment, examples, label_noise: as in digits.
        path: folder of the four IDX files, packed or not, or of mnist.npz; None: as
            `python -m lbexp.data.prepare mnist` has prepared it.

    Raises:
        ValueError: it is not prepared, or the files are not there or damaged.
    """
    options = Options(validation, replacement, fold, folds, augment, examples, label_noise)
    if path is not None:
        train, test = parts(path, _read)
        return labelled_images(train, test, 1 / 255, DIGITS, _SOURCE, options)
    return prepared_images('mnist', 1 / 255, DIGITS, _SOURCE, options)


def _read(folder: pathlib.Path):
    packed = folder / 'mnist.npz'
    if packed.is_file():
        return archive_parts(packed, len(DIGITS))
    examples = idx_parts(folder, '', len(DIGITS))
    if examples is None:
        raise missing(folder, 'train-images-idx3-ubyte', 'the four IDX files', 'mnist.npz')
    return examples
