"""California housing: the median value of a district's houses."""

from typing import Literal

from lbexp.datasets import Dataset
from lbexp.datasets._packaged import packaged_table
from lbexp.ranges import NonNegativeInteger, PositiveInteger, checked


@checked
def california_housing(
    bins: PositiveInteger | None = None,
    encoding: Literal['categories', 'piecewise_linear'] = 'piecewise_linear',
    validation: NonNegativeInteger = 2064,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
) -> Dataset:
    """20,640 districts of the census of 1990, 8 numbers each (Pace and Barry 1997,
    doi:10.1016/S0167-7152(96)00140-X; public domain); the label is the number `MedHouseVal`
    [100,000 dollars], which is cut at 5.

    A tenth is for testing, at random: neighbouring districts lie on both sides.

    Args:
        bins, encoding, validation, replacement, fold, folds: as in adult.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare california_housing.
    """
    return packaged_table(
        'california_housing',
        'California housing, census of 1990, StatLib',
        label='MedHouseVal',
        target='number',
        bins=bins,
        encoding=encoding,
        test=0.1,
        validation=0 if fold is not None else validation,
        replacement=replacement,
        fold=fold,
        folds=folds,
    )
