"""The training, validation and test sources of a data set."""

from typing import TypedDict

import numpy as np

from lbexp.data.load import load
from lbexp.data.source import Source, memory

# of the choice of validation examples: one choice for ever, so that runs can be compared
_SEED = 20050


class Splits(TypedDict):
    train: Source
    validation: Source | None
    test: Source | None


def splits(name: str, validation: int = 0, replacement: bool = False) -> Splits:
    """{'train', 'validation', 'test'}: sources, or None where there is no such split.

    The validation examples are drawn from the training set at random, the same ones always, and
    never trained on: what is tuned is tuned on them, so that the test set is used once.

    Args:
        name: a data set of lbexp.data.load.
        validation: examples held out of the training set, >= 0; 0: none.
        replacement: draw training examples with replacement.

    Raises:
        ValueError: more held out than there are, and what load raises.
    """
    examples = load(name, 'train')
    size = len(next(iter(examples.values())))
    if not 0 <= validation < size:
        raise ValueError(
            f'validation: found {validation}; allowed: 0 .. {size - 1} of the '
            f'{size} training examples'
        )
    test = memory(load(name, 'test'))
    if not validation:
        return Splits(train=memory(examples, replacement), validation=None, test=test)
    shuffled = np.random.default_rng(_SEED).permutation(size)

    def pick(places):
        return {key: values[np.sort(places)] for key, values in examples.items()}

    return Splits(
        train=memory(pick(shuffled[validation:]), replacement),
        validation=memory(pick(shuffled[:validation])),
        test=test,
    )
