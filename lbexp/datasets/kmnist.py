"""Kuzushiji-MNIST: Japanese characters in cursive script, 28x28."""

from lbexp.datasets import Dataset
from lbexp.datasets._prepared import Options, prepared_images
from lbexp.ranges import Fraction, NonNegativeInteger, Number, PositiveInteger

_SOURCE = 'Clanuwat et al. 2018, arXiv:1812.01718; CC BY-SA 4.0'

_CLASSES = ('o', 'ki', 'su', 'tsu', 'na', 'ha', 'ma', 'ya', 're', 'wo')


def kmnist(
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
    examples: PositiveInteger | None = None,
    label_noise: Fraction = 0.0,
) -> Dataset:
    """60,000 images [28, 28, 1] to train, 10,000 to test, of 10 classes (Clanuwat et al. 2018,
    arXiv:1812.01718).

    Args:
        validation, replacement, fold, folds, augment, examples, label_noise: as in digits.
    """
    options = Options(validation, replacement, fold, folds, augment, examples, label_noise)
    return prepared_images('kmnist', 1 / 255, _CLASSES, _SOURCE, options)
