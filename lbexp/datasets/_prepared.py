"""Labelled images that `lbexp.data.prepare` prepares, as data sets."""

from collections.abc import Sequence

from lbexp.data.splits import splits
from lbexp.datasets import Dataset
from lbexp.inputs import Input, Target

DIGITS = tuple('0123456789')


def prepared_images(
    name: str,
    scale: float,
    classes: Sequence[str],
    source: str,
    validation: int = 0,
    replacement: bool = False,
) -> Dataset:
    """The data set `name` of lbexp.data.load, with the test split of its makers.

    Args:
        scale: pixels are multiplied by it.
        classes: names of the classes.
        source: where it comes from, and its licence.
        validation: examples held out of the training set, at random, the same ones always.
        replacement: draw training examples with replacement.
    """
    parts = splits(name, validation, replacement)
    image = parts['train'].arrays['image']
    return Dataset(
        **parts,
        inputs={'image': Input('image', image.shape[1:], image.dtype.name, scale)},
        target=Target('class', classes=tuple(classes)),
        schema={'source': source},
    )
