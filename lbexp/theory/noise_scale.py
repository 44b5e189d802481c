"""The gradient noise scales on the way of SGD down a noisy quadratic."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lbexp.theory.limits import require


class NoiseScales(NamedTuple):
    """By part of a run, [parts], [examples]."""

    simple: np.ndarray  # B_simple = tr Sigma / |G|^2
    hessian: np.ndarray  # B_noise = tr(H Sigma) / (G^T H G)


def noise_scales(
    steps: int,
    batch_size: Any,
    learning_rate: Any,
    spectrum: Sequence[float] | np.ndarray,
    parts: int = 1,
) -> NoiseScales:
    """Of each of equal parts of a run of SGD.

    The problem of `theory.steps_to_target`: loss 1/2 sum a_i x_i^2, gradients of one example with
    covariance diag(a), E x_i^2 = 1 at the start. So tr Sigma = sum a_i, tr(H Sigma) = sum a_i^2 and

        E |G|^2 = sum a_i^2 m_i,    E G^T H G = sum a_i^3 m_i
        m_i <- (1 - eta a_i)^2 m_i + eta^2 a_i / B

    of which a part has the means over its updates: ratios of means, not means of ratios.

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
    moments, squares, forms = np.ones(len(a)), [], []
    for _ in range(steps):
        squares.append(np.sum(a**2 * moments))
        forms.append(np.sum(a**3 * moments))
        moments = (1 - learning_rate * a) ** 2 * moments + learning_rate**2 * a / batch_size
    return NoiseScales(
        a.sum() / _means(squares, parts),
        np.sum(a**2) / _means(forms, parts),
    )


def _means(values, parts):
    return np.array([part.mean() for part in np.array_split(values, parts)])
