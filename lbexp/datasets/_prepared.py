"""Labelled pictures as data sets: those that `lbexp.data.prepare` prepares, and others."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lbexp.data.augmentation import augmented
from lbexp.data.division import known_fold
from lbexp.data.label_noise import some_examples, with_label_noise
from lbexp.data.load import load
from lbexp.data.source import Source, memory
from lbexp.data.splits import divided
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
    examples: int | None = None
    label_noise: Any = 0.0  # a number, in [0, 1)


def prepared_images(
    name: str, scale: float, classes: Sequence[str], source: str, options: Options
) -> Dataset:
    """The data set `name` of lbexp.data.load, with the test split of its makers.

    Args:
        scale, classes, source: as of `labelled_images`.
    """
    train, test = load(name, 'train'), load(name, 'test')
    return labelled_images(train, test, scale, classes, source, options)


def labelled_images(
    train: dict[str, np.ndarray],
    test: dict[str, np.ndarray],
    scale: float,
    classes: Sequence[str],
    source: str,
    options: Options,
) -> Dataset:
    """Pictures 'image' [n, h, w, c] with a 'label' [n].

    Args:
        train, test: as their makers divide them.
        scale: pixels are multiplied by it.
        classes: names of the classes.
        source: where they come from, and their licence.
    """
    validation, replacement, fold, folds, *_ = options
    parts = divided(train, test, validation, replacement, fold, folds)
    trained = _train(parts['train'], len(classes), options)
    image = train['image']
    return Dataset(
        train=augmented(trained, 'image', options.augment),
        validation=parts['validation'],
        test=parts['test'],
        inputs={'image': Input('image', image.shape[1:], image.dtype.name, scale)},
        target=Target('class', classes=tuple(classes)),
        source=source,
    )


def _train(source: Source, classes: int, options: Options) -> Source:
    """The examples that are trained on."""
    if options.examples is None and not options.label_noise:
        return source
    if options.fold is not None:
        known_fold(options.fold, 'label_noise and examples are drawn for each fold')
    labels = with_label_noise(source.arrays['label'], options.label_noise, classes)
    arrays = some_examples({**source.arrays, 'label': labels}, options.examples)
    return memory(arrays, options.replacement)
