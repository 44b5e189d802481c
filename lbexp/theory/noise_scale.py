"""The gradient noise scale on the way of SGD down a noisy quadratic."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lbexp.theory.limits import require


def noise_scales(
    steps: int,
    batch_size: Any,
    learning_rate: Any,
    spectrum: Sequence[float] | np.ndarray,
    parts: int = 1,
) -> np.ndarray:
    """tr Sigma / |G|^2 of each of equal parts of a run of SGD [parts], [examples].

    The problem of `theory.steps_to_target`: loss 1/2 sum a_i x_i^2, gradients of one example with
    covariance diag(a), E x_i^2 = 1 at the start. So tr Sigma = sum a_i, and

        E |G|^2 = sum a_i^2 m_i,    m_i <- (1 - eta a_i)^2 m_i + eta^2 a_i / B

    of which a part has the mean over its updates: a ratio of means, not a mean of ratios.

    Args:
        steps: updates, >= parts.
        batch_size: B > 0 [examples per update].
        learning_rate: eta > 0.
        spectrum: curvatures a_i > 0 [d].
        parts: >= 1.

    Raises:
        ValueError: a number out of its range.

    Source: McCandlish et al. 2018, arXiv:1812.06162, Section 2.2; Zhang, Li, Nado et al. 2019,
        arXiv:1907.04164, Section 3.
    """
    a = np.asarray(spectrum, np.float64)
    require('batch_size', batch_size, batch_size > 0, 'a number of examples > 0')
    require('learning_rate', learning_rate, learning_rate > 0, 'a number > 0')
    require('parts', parts, parts >= 1, 'an integer >= 1')
    require('steps', steps, steps >= parts, 'an update in each part at least')
    moments, squares = np.ones(len(a)), []
    for _ in range(steps):
        squares.append(np.sum(a**2 * moments))
        moments = (1 - learning_rate * a) ** 2 * moments + learning_rate**2 * a / batch_size
    means = [part.mean() for part in np.array_split(squares, parts)]
    return a.sum() / np.array(means)
