"""Labelled images that `lbexp.data.prepare` prepares, as data sets."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from lbexp.data.augmentation import augmented
from lbexp.data.splits import splits
from lbexp.datasets import Dataset
from lbexp.inputs import Input, Target

DIGITS = tuple('0123456789')


class Options(NamedTuple):
    """How a data set is split and drawn; the functions of data sets say what each is."""

    validation: int = 0
    replacement: bool = False
    fold: int | None = None
    folds: int = 5
    augment: dict[str, Any] | None = None


def prepared_images(
    name: str, scale: float, classes: Sequence[str], source: str, options: Options
) -> Dataset:
    """The data set `name` of lbexp.data.load, with the test split of its makers.

    Args:
        scale: pixels are multiplied by it.
        classes: names of the classes.
        source: where it comes from, and its licence.
    """
    validation, replacement, fold, folds, augment = options
    parts = splits(name, validation, replacement, fold, folds)
    image = parts['train'].arrays['image']
    return Dataset(
        train=augmented(parts['train'], 'image', augment),
        validation=parts['validation'],
        test=parts['test'],
        inputs={'image': Input('image', image.shape[1:], image.dtype.name, scale)},
        target=Target('class', classes=tuple(classes)),
        source=source,
    )
