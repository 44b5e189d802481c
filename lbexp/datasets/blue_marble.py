"""Climates of pieces of land seen from above: pictures in colour, 32 x 32."""

import numpy as np

from lbexp.data.packages import blue_marble as package
from lbexp.data.packages import examples_file
from lbexp.datasets import Dataset
from lbexp.datasets.file import file
from lbexp.inputs import Target
from lbexp.ranges import NonNegativeInteger, Number, PositiveInteger


def blue_marble(
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
) -> Dataset:
    """12,282 tiles [32, 32, 3] of NASA's Blue Marble, of five groups of climates (Koeppen and
    Geiger; Rubel et al. 2017, doi:10.1127/metz/2016/0816).

    Tiles overlap: a block of 10 x 10 degrees is of one split, and a fifth of them is the test set.
    Each channel is standardised by the training tiles. In the Recipe of lbexp.data.packages stand
    licence and choice of tiles.

    Args:
        validation: tiles of the training set held out for tuning; 0: none.
        replacement: draw training tiles with replacement.
        fold: the test blocks are this fold of `folds` instead; None: a fifth.
        folds: into which the blocks are cut.
        augment: as of lbexp.data.augmentation: a mirrored tile is one of the same climate.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare blue_marble.
    """
    data = file(
        str(examples_file('blue_marble')),
        label='label',
        split='group',
        by='block',
        fold=fold,
        folds=folds,
        validation=validation,
        replacement=replacement,
        augment=augment,
    )
    images = np.asarray(data.train.arrays['image'])
    mean, deviation = images.mean((0, 1, 2), np.float64), images.std((0, 1, 2), np.float64)
    described = data.inputs['image']._replace(
        shift=mean.astype(np.float32), scale=(1 / deviation).astype(np.float32)
    )
    target = Target('class', 'label', package.CLASSES)
    return data._replace(
        inputs={'image': described}, target=target, schema={**data.schema, 'source': 'blue_marble'}
    )
