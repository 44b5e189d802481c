"""The training, validation and test sources of a data set."""

from typing import TypedDict

import jax
import numpy as np

from lbexp.data.division import fold_places
from lbexp.data.folds import fold_source
from lbexp.data.load import load
from lbexp.data.source import Source, memory

# of the choice of validation examples: one choice for ever, so that runs can be compared
_SEED = 20050


class Splits(TypedDict):
    train: Source
    validation: Source | None
    test: Source | None


def splits(
    name: str,
    validation: int = 0,
    replacement: bool = False,
    fold: int | None = None,
    folds: int = 5,
) -> Splits:
    """The splits of a data set of lbexp.data.load; see `divided`.

    Raises:
        ValueError: more held out than there are, and what load raises.
    """
    train, test = load(name, 'train'), load(name, 'test')
    return divided(train, test, validation, replacement, fold, folds)


def divided(
    train: dict[str, np.ndarray],
    test: dict[str, np.ndarray] | None,
    validation: int = 0,
    replacement: bool = False,
    fold: int | None = None,
    folds: int = 5,
    places: np.ndarray | None = None,
) -> Splits:
    """{'train', 'validation', 'test'}: sources, or None where there is no such split.

    The validation examples are drawn from the training set at random, the same ones always, and
    never trained on: what is tuned is tuned on them, so that the test set is used once.

    Args:
        train, test: arrays by name, [size, ...].
        validation: examples held out of the training set, >= 0; 0: none.
        replacement: draw training examples with replacement.
        fold: the validation examples are this fold of the training set instead, 0 .. folds - 1;
            may be traced, where all have one size.
        folds: into which the training set is cut at random.
        places: of the validation examples in the training set, ascending, instead of random ones.

    Raises:
        ValueError: more held out than there are, a fold that there is not, or both.
    """
    size = len(next(iter(train.values())))
    if not 0 <= validation < size:
        raise ValueError(
            f'validation: found {validation}; allowed: 0 .. {size - 1} of the '
            f'{size} training examples'
        )
    if validation and fold is not None:
        raise ValueError(
            f'validation, fold: found {validation}, {fold}; allowed: one of them, as the fold is '
            'the validation set'
        )
    tested = None if test is None else memory(test)
    if isinstance(fold, jax.core.Tracer):
        held_out = [fold_places(each, folds, size) for each in range(folds)]
        rest = [np.setdiff1d(np.arange(size), places) for places in held_out]
        return Splits(
            train=fold_source(train, rest, fold, replacement),
            validation=fold_source(train, held_out, fold),
            test=tested,
        )
    if fold is not None:
        held_out = fold_places(fold, folds, size)
        rest = np.setdiff1d(np.arange(size), held_out)
    elif places is not None:
        held_out, rest = places, np.setdiff1d(np.arange(size), places)
    elif validation:
        shuffled = np.random.default_rng(_SEED).permutation(size)
        held_out, rest = np.sort(shuffled[:validation]), np.sort(shuffled[validation:])
    else:
        return Splits(train=memory(train, replacement), validation=None, test=tested)
    return Splits(
        train=memory(picked(train, rest), replacement),
        validation=memory(picked(train, held_out)),
        test=tested,
    )


def picked(arrays: dict[str, np.ndarray], places: np.ndarray) -> dict[str, np.ndarray]:
    """The examples at these places."""
    return {name: values[places] for name, values in arrays.items()}
