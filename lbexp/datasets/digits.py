"""The UCI handwritten digits, 8x8, the smallest real data set, embedded in the package."""

from lbexp.datasets import Dataset
from lbexp.datasets._prepared import DIGITS, Options, prepared_images
from lbexp.ranges import Fraction, NonNegativeInteger, Number, PositiveInteger

_SOURCE = 'Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI); CC BY 4.0'


def digits(
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
    examples: PositiveInteger | None = None,
    label_noise: Fraction = 0.0,
) -> Dataset:
    """1,438 images [8, 8, 1] to train, 359 to test, of 10 classes (Alpaydin and Kaynak 1998).

    Args:
        validation: examples of the training set held out for tuning; 0: none.
        replacement: draw training examples with replacement.
        fold: this fold of the training set is the validation set instead, 0 .. folds - 1.
        folds: into which the training set is cut at random; its size: leave-one-out.
        augment: {'rotation': degrees, 'zoom', 'shift', 'flip', 'brightness': fractions, 'crop':
            pixels}, see lbexp.data.augmentation; None: pictures as they are.
        examples: of the training set, drawn at random, that are trained on; None: all.
        label_noise: share of the training labels that are another class, drawn at random; the
            validation and test labels stay.
    """
    options = Options(validation, replacement, fold, folds, augment, examples, label_noise)
    return prepared_images('digits', 1 / 16, DIGITS, _SOURCE, options)
