"""A training set made harder on purpose: fewer examples, and labels that are wrong."""

import numpy as np

from lbexp.data.splits import picked

# One draw for ever, so that runs can be compared: of the labels, and of the examples.
_NOISE_SEED, _EXAMPLES_SEED = 20052, 20053


def with_label_noise(labels: np.ndarray, share: float, classes: int) -> np.ndarray:
    """`labels`, of which round(share n), drawn at random, are another class, each of the other
    classes equally likely: symmetric noise.

    Args:
        labels: [n] classes, 0 .. classes - 1.
        share: in [0, 1).
        classes: 2 or more.
    """
    generator = np.random.default_rng(_NOISE_SEED)
    chosen = generator.permutation(len(labels))[: round(share * len(labels))]
    shift = generator.integers(1, classes, len(chosen))
    noisy = labels.copy()
    noisy[chosen] = (labels[chosen] + shift) % classes
    return noisy


def some_examples(arrays: dict[str, np.ndarray], count: int | None) -> dict[str, np.ndarray]:
    """`count` of the examples, drawn at random, in their order; of a larger count the smaller one
    is a part. None: all.

    Raises:
        ValueError: there are not as many.
    """
    if count is None:
        return arrays
    size = len(next(iter(arrays.values())))
    if count > size:
        raise ValueError(f'examples: found {count}; allowed: at most {size}, the training set')
    chosen = np.random.default_rng(_EXAMPLES_SEED).permutation(size)[:count]
    return picked(arrays, np.sort(chosen))
