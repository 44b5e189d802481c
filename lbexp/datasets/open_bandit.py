"""Open Bandit: which piece of clothing that a shop shows is clicked on? A few true clicks."""

from typing import Literal

from lbexp.datasets import Dataset
from lbexp.datasets._packaged import packaged_table
from lbexp.ranges import NonNegativeInteger, PositiveInteger, checked

_CATEGORIES = (
    'campaign',
    'item',
    'position',
    'user_feature_0',
    'user_feature_1',
    'user_feature_2',
    'user_feature_3',
    'item_feature_1',
    'item_feature_2',
    'item_feature_3',
)
_NUMBERS = ('affinity', 'item_feature_0')


@checked
def open_bandit(
    split: Literal['random', 'time'] = 'random',
    bins: PositiveInteger | None = 32,
    encoding: Literal['categories', 'piecewise_linear'] = 'categories',
    validation: NonNegativeInteger = 6000,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
) -> Dataset:
    """60,000 impressions of a shop's clothes (Saito et al. 2021, arXiv:2008.07146); the label is
    `click`, of which there are 287.

    It shows that a pipeline takes a true click log, and decides nothing: with 29 clicks in the test
    set (33 by time) the standard error of an AUC is about 0.05, more than models differ by.

    10 categories and 2 numbers are the inputs, what is known when an item is shown; policy,
    propensity and time are none. A tenth is for testing.

    Args:
        split: 'random': with the same share of clicks; 'time': the last tenth of the week, and the
            validation examples before it.
        bins, encoding: of the numbers, see file; None: they stay numbers.
        validation: examples of the training set held out for tuning; 0: none.
        replacement: draw training examples with replacement.
        fold: the test set is this fold of `folds` instead; without a validation set, and not with
            'time'.
        folds: into which the examples are cut.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare open_bandit; or a fold by time.
    """
    return packaged_table(
        'open_bandit',
        'Open Bandit, ZOZO, Inc.',
        label='click',
        columns=(*_CATEGORIES, *_NUMBERS),
        categorical=_CATEGORIES,
        bins=bins,
        encoding=encoding,
        test=0.1,
        split='time' if split == 'time' else 'stratified',
        by='timestamp' if split == 'time' else None,
        validation=0 if fold is not None else validation,
        replacement=replacement,
        fold=fold,
        folds=folds,
    )
