"""Emoji: what kind of thing is drawn, for a network that has seen another vendor's drawings."""

import functools
from typing import Literal

import numpy as np

from lbexp.data.augmentation import augmented
from lbexp.data.division import group_fold_places, held_out_places
from lbexp.data.packages import emoji as package
from lbexp.data.packages import examples_file
from lbexp.data.splits import divided, picked
from lbexp.datasets import Dataset
from lbexp.inputs import Input, Target
from lbexp.ranges import NonNegativeInteger, Number, PositiveInteger, checked

_SHARE = 0.2  # of the emoji, for testing


@checked
def emoji(
    split: Literal['vendor', 'emoji'] = 'vendor',
    vendor: Literal['google', 'twitter'] = 'google',
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
) -> Dataset:
    """Icons [64, 64, 3] of nine categories of Unicode, 3,781 of each of two vendors: Noto (Google,
    Apache 2.0) and Twemoji (Twitter, CC BY 4.0).

    60 % are people, most of them one emoji in several skin tones: the tones of one stay together,
    in validation sets and folds, too. A man and a woman who do the same are two emoji; those that a
    vendor draws alike, as the flags of Norway and of Svalbard, are one.

    Args:
        split: 'vendor': tested are all emoji as the other vendor draws them, a shift of the
            distribution; 'emoji': other emoji of the same vendor, a fifth of them.
        vendor: whose icons are trained on.
        validation: icons of the training set held out for tuning, about so many; 0: none.
        replacement: draw training icons with replacement.
        fold: the test emoji are this fold of `folds` instead; with split 'emoji'.
        folds: into which the emoji are cut.
        augment: see lbexp.data.augmentation.

    Raises:
        ValueError: not prepared: python -m lbexp.data.prepare emoji; a fold of vendors, or one that
            there is not.
    """
    if fold is not None and split == 'vendor':
        raise ValueError(f"fold: found {fold} with split 'vendor'; allowed: split='emoji'")
    arrays = _arrays(str(examples_file('emoji')))
    known = _icons(arrays, vendor)
    if split == 'vendor':
        (other,) = set(package.VENDORS) - {vendor}
        train, test, base = known, _icons(arrays, other), arrays['base']
    else:
        tested = _tested(arrays['base'], fold, folds)
        rest = np.setdiff1d(np.arange(len(arrays['base'])), tested)
        train, test, base = picked(known, rest), picked(known, tested), arrays['base'][rest]
    held_out = None
    if 0 < validation < len(base):
        held_out = held_out_places('group', validation / len(base), len(base), base)
    parts = divided(train, test, validation, replacement, places=held_out)
    return Dataset(
        train=augmented(parts['train'], 'image', augment),
        validation=parts['validation'],
        test=parts['test'],
        inputs={'image': Input('image', known['image'].shape[1:], 'uint8', 1 / 255)},
        target=Target('class', classes=package.CLASSES),
        source='emoji: Noto (Google, Apache 2.0), Twemoji (Twitter, CC BY 4.0)',
    )


@functools.lru_cache(1)
def _arrays(file):
    with np.load(file) as archive:
        return {name: archive[name] for name in (*package.VENDORS, 'label', 'base')}


def _icons(arrays, vendor):
    return {'image': arrays[vendor], 'label': arrays['label']}


def _tested(base, fold, folds):
    """Places of the test icons."""
    if fold is None:
        return held_out_places('group', _SHARE, len(base), base)
    return group_fold_places(fold, folds, base)
