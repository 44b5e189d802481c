"""Adult: does somebody earn more than 50,000 dollars a year? A census table."""

from typing import Literal

from lbexp.datasets import Dataset
from lbexp.datasets._packaged import packaged_table
from lbexp.ranges import NonNegativeInteger, PositiveInteger, checked


@checked
def adult(
    bins: PositiveInteger | None = 32,
    encoding: Literal['categories', 'piecewise_linear'] = 'categories',
    validation: NonNegativeInteger = 4884,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
) -> Dataset:
    """48,842 people of the US census of 1994 (Becker and Kohavi 1996, UCI, doi:10.24432/C5XW20, CC
    BY 4.0); the label is `income`, 24 % of it '>50K'.

    6 numbers and 8 categories are the inputs. `education` and `educational-num` say the same, and
    both stay, as in the reference; `fnlwgt`, the census's weight of a row, stays as an input, too.
    A tenth is for testing, with the same share of both classes.

    Args:
        bins, encoding: of the numbers, see file; None: they stay numbers.
        validation: examples of the training set held out for tuning; 0: none.
        replacement: draw training examples with replacement.
        fold: the test set is this fold of `folds` instead.
        folds: into which the examples are cut.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare adult.
    """
    return packaged_table(
        'adult',
        'Adult, US census of 1994, UCI',
        label='income',
        bins=bins,
        encoding=encoding,
        test=0.1,
        validation=0 if fold is not None else validation,
        replacement=replacement,
        fold=fold,
        folds=folds,
    )
