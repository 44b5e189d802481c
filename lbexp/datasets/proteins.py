"""KDD Cup 2004, proteins: which candidates are of the same family? One in a hundred."""

from typing import Literal

from lbexp.datasets import Dataset
from lbexp.datasets._packaged import packaged_table
from lbexp.ranges import NonNegativeInteger, PositiveInteger, checked

_FEATURES = tuple(str(number) for number in range(4, 78))  # names of the columns


@checked
def proteins(
    bins: PositiveInteger | None = None,
    encoding: Literal['categories', 'piecewise_linear'] = 'piecewise_linear',
    validation: NonNegativeInteger = 14575,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
) -> Dataset:
    """145,751 candidates for 153 proteins, 74 numbers each (KDD Cup 2004, for research); the label
    is `target`, 1 of 1,296.

    The candidates of a protein, a block, stay together: a tenth of the blocks is for testing, and
    the validation examples are blocks, too, about so many.

    Args:
        bins, encoding, validation, replacement: as in adult.
        fold: the test set is this fold of `folds` instead; without a validation set.
        folds: into which the blocks are cut.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare proteins.
    """
    return packaged_table(
        'proteins',
        'KDD Cup 2004, protein homology',
        label='target',
        columns=_FEATURES,
        bins=bins,
        encoding=encoding,
        test=0.1,
        split='group',
        by='BLOCK_ID',
        validation=0 if fold is not None else validation,
        replacement=replacement,
        fold=fold,
        folds=folds,
    )
