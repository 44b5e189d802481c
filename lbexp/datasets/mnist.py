"""MNIST: handwritten digits, 28x28."""

from lbexp.datasets import Dataset
from lbexp.datasets._prepared import DIGITS, Options, prepared_images
from lbexp.ranges import NonNegativeInteger, Number, PositiveInteger

_SOURCE = 'LeCun, Cortes, Burges: MNIST'


def mnist(
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
) -> Dataset:
    """60,000 images [28, 28, 1] to train, 10,000 to test, of 10 classes (LeCun et al. 1998).

    Args:
        validation, replacement, fold, folds, augment: as in digits.
    """
    options = Options(validation, replacement, fold, folds, augment)
    return prepared_images('mnist', 1 / 255, DIGITS, _SOURCE, options)
