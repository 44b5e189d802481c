"""MNIST: handwritten digits, 28x28."""

from lbexp.datasets import Dataset
from lbexp.datasets._prepared import DIGITS, Options, prepared_images
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
) -> Dataset:
    """60,000 images [28, 28, 1] to train, 10,000 to test, of 10 classes (LeCun et al. 1998).

    Args:
        validation, replacement, fold, folds, augment, examples, label_noise: as in digits.
    """
    options = Options(validation, replacement, fold, folds, augment, examples, label_noise)
    return prepared_images('mnist', 1 / 255, DIGITS, _SOURCE, options)
