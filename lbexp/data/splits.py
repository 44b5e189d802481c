"""The training, validation and test sources of a data set."""

import numpy as np

from lbexp.data.load import load
from lbexp.data.source import Source, memory

# of the choice of validation examples: one choice for ever, so that runs can be compared
_SEED = 20050


def splits(name: str, validation: int = 0, replacement: bool = False) -> dict[str, Source | None]:
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
    sources = {
        'train': memory(examples, replacement),
        'validation': None,
        'test': memory(load(name, 'test')),
    }
    if validation:
        shuffled = np.random.default_rng(_SEED).permutation(size)
        held, kept = np.sort(shuffled[:validation]), np.sort(shuffled[validation:])
        pick = lambda places: {key: values[places] for key, values in examples.items()}
        sources |= {'train': memory(pick(kept), replacement), 'validation': memory(pick(held))}
    return sources
