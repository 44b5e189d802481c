"""Photographs of animals and of other things: few, for networks that have seen others before."""

import functools

import numpy as np
from PIL import Image

from lbexp.data import copies
from lbexp.data.augmentation import augmented
from lbexp.data.division import group_fold_places
from lbexp.data.packages import examples_file
from lbexp.data.packages import tuxpaint_photos as package
from lbexp.data.splits import divided, picked
from lbexp.datasets import Dataset
from lbexp.datasets._texts import copied_arrays
from lbexp.inputs import Input, Target
from lbexp.ranges import NonNegativeInteger, Number, PositiveInteger


def tuxpaint_photos(
    size: PositiveInteger = 96,
    fold: NonNegativeInteger = 0,
    folds: PositiveInteger = 5,
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    augment: dict[str, Number] | None = None,
) -> Dataset:
    """439 photographs cut out on white, 128 of them of animals; given to models as (x - 127) / 128,
    as the weights of `efficientnet_lite0` take them.

    Photographs of one thing, whose names begin with the same word (frog, frog-1), are of one fold.
    With 88 test photographs a share has a standard error of 0.02: use all folds, or the loss.

    Args:
        size: of a picture's side [pixels], up to 224.
        fold: which of `folds` is the test set.
        folds: into which the names are cut, at random.
        validation: photographs of the training set held out for tuning; 0: none.
        replacement: draw training photographs with replacement.
        augment: see lbexp.data.augmentation.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare tuxpaint_photos; or a size or a fold
            that there is not.
    """
    arrays = _resized(str(examples_file('tuxpaint_photos')), size)
    is_test = group_fold_places(fold, folds, arrays['group'])
    examples = {'image': arrays['image'], 'label': arrays['label']}
    others = np.setdiff1d(np.arange(len(arrays['label'])), is_test)
    train, test = picked(examples, others), picked(examples, is_test)
    parts = divided(train, test, validation, replacement)
    return Dataset(
        train=augmented(parts['train'], 'image', augment),
        validation=parts['validation'],
        test=parts['test'],
        inputs={'image': Input('image', (size, size, 3), 'uint8', 1 / 128, 127.0)},
        target=Target('class', classes=package.CLASSES),
        source='stamps of Tux Paint; GPL-2 (the whole package)',
    )


@functools.lru_cache(2)
def _resized(file, size):
    """The photographs of this size, their labels and their groups as numbers."""

    def make():
        with np.load(file) as archive:
            images, labels, groups = (archive[name] for name in ('image', 'label', 'group'))
        if not 0 < size <= images.shape[1]:
            raise ValueError(f'size: found {size}; allowed: 1 .. {images.shape[1]}')
        small = []
        for image in images:
            picture = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
            small.append(np.asarray(picture))
        numbers = np.unique(groups, return_inverse=True)[1].astype(np.int32)
        return {'image': np.stack(small), 'label': labels, 'group': numbers}

    return copied_arrays(make, file, str(size), [__file__, copies.__file__])
