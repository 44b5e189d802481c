"""MNIST-1D: ten strokes, deformed at random."""

from lbexp.datasets import Dataset
from lbexp.datasets._prepared import DIGITS, Options, prepared_images
from lbexp.ranges import Fraction, NonNegativeInteger, PositiveInteger

_SOURCE = 'made by lbexp after Greydanus and Kobak 2024, arXiv:2011.14439; Apache 2.0'


def mnist1d(
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    examples: PositiveInteger | None = None,
    label_noise: Fraction = 0.0,
) -> Dataset:
    """4,000 signals [40, 1] to train, 1,000 to test, of 10 classes (Greydanus and Kobak 2024,
    arXiv:2011.14439).

    Args:
        validation, replacement, fold, folds, examples, label_noise: as in digits.
    """
    options = Options(validation, replacement, fold, folds, None, examples, label_noise)
    return prepared_images('mnist1d', 1.0, DIGITS, _SOURCE, options)
