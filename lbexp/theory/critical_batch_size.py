"""Steps to a target against batch size: the hyperbola of McCandlish et al., fitted, censored trials
included."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp.shapes import OfTrials, WhichTrials

PERFECT, DIMINISHING, STAGNATION = 'perfect scaling', 'diminishing returns', 'stagnation'
_ROUNDS = 100  # of the active set; each changes at least one censored trial, or ends


class Fit(NamedTuple):
    """S = s_min + e_min / B."""

    s_min: float  # steps that no batch size saves, >= 0
    e_min: float  # examples that no batch size saves, >= 0
    # batch size e_min / s_min, at which both are twice their least; inf: no sign of s_min
    critical: float


def critical_batch_size(
    batch_sizes: Sequence[float] | OfTrials,
    steps: Sequence[float] | OfTrials,
    reached: Sequence[bool] | WhichTrials | None = None,
) -> Fit:
    """Fits (S / s_min - 1) (E / e_min - 1) = 1, S steps and E = B S examples to a target, over
    trials.

    With E = B S the product expands to S B / (s_min e_min) = 1 / s_min + B / e_min, that is

        S = s_min + e_min / B,

    linear in s_min and e_min. The fit is least squares of relative errors, sum_i (1 - S(B_i) /
    S_i)^2, as steps vary by a factor rather than by an amount, with both >= 0: the unconstrained
    solution of two normal equations where it is, else the better of the two edges.

    A trial that did not reach the target within its S_i steps is censored: the truth is above S_i.
    It counts as a point at S_i where the fit says less than that, and not at all where the fit
    agrees with it; the set of those that count is found by iteration. To drop them would bias the
    fit towards those who were quick; to take S_i for the truth, likewise, and so does what is left
    of the bias here: a bound says nothing of how far beyond it the truth is.

    With log-normal steps of median S(B_i), sigma the standard deviation of their logarithm, none
    censored, many trials give exp(-3 sigma^2 / 2) s_min and exp(-3 sigma^2 / 2) e_min, as the short
    ones weigh more, but the true ratio: `critical` has no bias then. The covariance of (s_min,
    e_min) is sigma^2 (X^T X)^-1 to leading order in sigma, with rows X_i = (1, 1 / B_i) / S(B_i).

    Args:
        batch_sizes: B_i > 0, finite [examples].
        steps: S_i > 0, finite [steps]: to the target, or done without reaching it.
        reached: whether the trial reached the target; None: all did.

    Returns:
        Fit: s_min [steps], e_min [examples], critical [examples].

    Raises:
        ValueError: lengths differ, a number out of range, or fewer than two batch sizes reached the
            target.

    McCandlish, Kaplan, Amodei 2018, arXiv:1812.06162, equation 2.11 and Appendix D.
    """
    b = np.asarray(batch_sizes, float)
    s = np.asarray(steps, float)
    hit = np.ones(len(s), bool)
    if reached is not None:
        hit = np.asarray(reached, bool)
    if not len(b) == len(s) == len(hit):
        raise ValueError(
            f'batch_sizes, steps, reached: found lengths {len(b)}, {len(s)}, '
            f'{len(hit)}; allowed: one'
        )
    if not (np.all(b > 0) and np.all(s > 0) and np.all(np.isfinite(b * s))):
        raise ValueError(
            'batch_sizes, steps: found a number that is not > 0 or not finite; '
            'allowed: positive numbers'
        )
    sizes_reached = len(set(b[hit]))
    if sizes_reached < 2:
        raise ValueError(
            f'reached: found the target reached at {sizes_reached} batch sizes; allowed: at least 2'
        )
    active = hit
    s_min, e_min = _least_squares(b[active], s[active])
    for _ in range(_ROUNDS):
        # A bound that the fit contradicts counts as a point; one that it respects says nothing.
        contradicted = hit | (s_min + e_min / b < s)
        if np.array_equal(contradicted, active):
            break
        active = contradicted
        s_min, e_min = _least_squares(b[active], s[active])
    critical = np.inf
    if s_min > 0:
        critical = e_min / s_min
    return Fit(s_min, e_min, critical)


def regions(batch_sizes: Sequence[float], critical: float) -> list[str]:
    """The region of each batch size: what twice the batch still saves of the steps, by the fit S ~
    1 + critical / B.

    'perfect scaling': B < critical / 4, where doubling takes off more than 2/5 of the steps (1/2
    were perfect);
    'stagnation': B > 4 critical, where it takes off at most a tenth; 'diminishing returns' between
    them.

    Names: Shallue et al. 2019, arXiv:1811.03600, Figure 1; the bounds are ours.
    """

    def region(batch_size):
        if batch_size < critical / 4:
            return PERFECT
        if batch_size > 4 * critical:
            return STAGNATION
        return DIMINISHING

    return list(map(region, batch_sizes))


def _least_squares(b, s):
    """Non-negative (s_min, e_min) that minimise sum (1 - (s_min + e_min / b) / s)^2."""
    # By Gram and Schmidt, batch sizes in units of the smallest: the determinant of the normal
    # equations cancels where 1 / b hardly moves the steps.
    unit = b.min()
    x, y = 1 / s, unit / b / s
    xx, x1 = x @ x, x.sum()
    share = (x @ y) / xx
    across = y - share * x
    # Twice is enough: what rounding left of x in it is gone.
    across = across - (x @ across) / xx * x
    if across @ across > 0:
        residual = 1 - x * (x1 / xx)
        slope = across @ residual / (across @ across)
        s_min, e_min = x1 / xx - slope * share, slope * unit
        if s_min >= 0 and e_min >= 0:
            return float(s_min), float(e_min)
    # The least is on an edge of the quadrant: no e_min, or no s_min.
    y = 1 / (b * s)
    edges = [(x1 / xx, 0.0), (0.0, y.sum() / (y @ y))]

    def error(edge):
        s_min, e_min = edge
        return np.sum((1 - s_min * x - e_min * y) ** 2)

    s_min, e_min = min(edges, key=error)
    return float(s_min), float(e_min)
