"""Which examples of a source without a split of its own are test examples, and folds for cross
validation.

Every choice is a function of the data and of fixed seeds, so that two runs divide alike.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

_SEED = 20051


def held_out_places(
    kind: str, share: float, size: int, values: Sequence[Any] | np.ndarray | None = None
) -> np.ndarray:
    """Places of the test examples, ascending.

    Args:
        kind: 'random'; 'stratified': the share of each value (a class) is the same on both sides,
            up to rounding; 'group': examples of one value (a user, a block of a map) stay together;
            'time': the last ones.
        share: of the examples that are for testing, in (0, 1); of 'group' the share of groups.
        size: examples in all.
        values: of the examples: class, group or time; None with 'random'.

    Raises:
        ValueError: no example would be left on one side.
    """
    if kind == 'random':
        chosen = np.random.default_rng(_SEED).permutation(size)[: round(share * size)]
    elif kind == 'time':
        order = np.argsort(np.asarray(values), kind='stable')
        chosen = order[size - round(share * size) :]
    elif kind == 'group':
        numbers = _numbers(values)
        groups = numbers.max() + 1
        shuffled = np.random.default_rng(_SEED).permutation(groups)
        chosen = np.flatnonzero(np.isin(numbers, shuffled[: round(share * groups)]))
    else:
        chosen = np.flatnonzero(_turns(_numbers(values), share))
    _require_both(len(chosen), size, f'{kind} split with {share} of the examples to test')
    return np.sort(chosen)


def group_fold_places(fold: int, folds: int, groups: Any) -> np.ndarray:
    """Places of the examples whose groups are of fold `fold` of `folds`, ascending: a group (a
    user, a block of a map) is in one fold, and the folds are together all.

    Raises:
        ValueError: a fold or a number of folds that there is not.
    """
    numbers = _numbers(groups)
    return np.flatnonzero(np.isin(numbers, fold_places(fold, folds, int(numbers.max()) + 1)))


def fold_places(fold: int, folds: int, size: int, values: Any = None) -> np.ndarray:
    """Places of the examples of fold `fold` of `folds`, ascending; the folds are disjoint and
    together all.

    Args:
        fold: 0 .. folds - 1.
        folds: 2 .. size; size: leave-one-out.
        size: examples in all.
        values: classes, whose shares are the same in each fold; None: at random.

    Raises:
        ValueError: a fold or a number of folds that there is not.
    """
    if not 2 <= folds <= size:
        raise ValueError(f'folds: found {folds}; allowed: 2 .. {size}, of {size} examples')
    fold = known_fold(fold, 'each fold is read as a data set of its own')
    if not 0 <= fold < folds:
        raise ValueError(f'fold: found {fold}; allowed: 0 .. {folds - 1} of {folds} folds')
    shuffled = np.random.default_rng(_SEED).permutation(size)
    if values is not None:
        # classes one after another: each fold takes every folds-th
        shuffled = shuffled[np.argsort(_numbers(values)[shuffled], kind='stable')]
    return np.sort(shuffled[fold::folds])


def known_fold(fold: Any, why: str) -> int:
    """The number of a fold that has to be known.

    Args:
        why: in words for whom it is not, as it is traced: that splits programs.

    Raises:
        ValueError: it is traced.
    """
    try:
        return int(fold)
    except jax.errors.ConcretizationTypeError as error:
        raise ValueError(why) from error


def _turns(numbers, share):
    """Which examples are this share of each value, at random."""
    chosen = np.zeros(len(numbers), bool)
    shuffled = np.random.default_rng(_SEED).permutation(len(numbers))
    for number in range(numbers.max() + 1):
        places = shuffled[numbers[shuffled] == number]
        chosen[places[: round(share * len(places))]] = True
    return chosen


def _numbers(values):
    """The values as 0, 1, ... in sorted order."""
    return np.unique(np.asarray(values), return_inverse=True)[1]


def _require_both(chosen, size, what):
    if not 0 < chosen < size:
        raise ValueError(
            f'test: found {chosen} of {size} examples by the {what}; allowed: at least one to test '
            'and one to train'
        )
