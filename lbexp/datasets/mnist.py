"""MNIST: handwritten digits, 28x28."""

from lbexp.datasets import Dataset
from lbexp.datasets._prepared import DIGITS, prepared_images
from lbexp.ranges import NonNegativeInteger

_SOURCE = 'LeCun, Cortes, Burges: MNIST'


def mnist(validation: NonNegativeInteger = 0, replacement: bool = False) -> Dataset:
    """60,000 images [28, 28, 1] to train, 10,000 to test, of 10 classes (LeCun et al. 1998).

    Args:
        validation, replacement: as in digits.
    """
    return prepared_images('mnist', 1 / 255, DIGITS, _SOURCE, validation, replacement)
