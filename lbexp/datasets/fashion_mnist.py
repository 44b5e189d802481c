"""Fashion-MNIST: pictures of clothes, 28x28."""

from lbexp.datasets import Dataset
from lbexp.datasets._prepared import Options, prepared_images
from lbexp.ranges import Fraction, NonNegativeInteger, Number, PositiveInteger

_SOURCE = 'Xiao et al. 2017, arXiv:1708.07747; MIT'

_CLASSES = (
    'T-shirt/top',
    'Trouser',
    'Pullover',
    'Dress',
    'Coat',
    'Sandal',
    'Shirt',
    'Sneaker',
    'Bag',
    'Ankle boot',
)


def fashion_mnist(
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
    examples: PositiveInteger | None = None,
    label_noise: Fraction = 0.0,
) -> Dataset:
    """60,000 images [28, 28, 1] to train, 10,000 to test, of 10 classes (Xiao et al. 2017,
    arXiv:1708.07747).

    Args:
        validation, replacement, fold, folds, augment, examples, label_noise: as in digits.
    """
    options = Options(validation, replacement, fold, folds, augment, examples, label_noise)
    return prepared_images('fashion_mnist', 1 / 255, _CLASSES, _SOURCE, options)
