"""The claims about rates of convergence, of the trainer and of the theory's curves."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, Claim

_ZHANG = (
    'Zhang et al. 2019 (arXiv:1907.08610, Section 3.2, Figure 3): rates against the condition '
    'number, k 20, alpha 0.5, Lookahead faster where momentum is under-damped; not verified, and '
    'no number'
)


class Gain(NamedTuple):
    """Of Lookahead over momentum at equal beta."""

    ratio: float  # of their rates
    condition: float
    beta: float


def agreement(differences: Sequence[float], tolerance: float) -> Claim:
    """Of the trainer and the spectral radius, by the relative differences of their rates."""
    worst, usual = float(np.max(differences)), float(np.median(differences))
    return Claim(
        'The rates of momentum, and of Lookahead around it, are those of the spectral radius of a '
        f'cycle: within 1 % in the median, {100 * tolerance:g} % at most (ours)',
        f'trainer and spectral radius differ by {100 * usual:.2f} % in the median, '
        f'{100 * worst:.1f} % at most',
        _outcome(worst <= tolerance and usual <= 0.01),
    )


def regimes(gains: Sequence[Gain], k: int, alpha: float) -> Iterator[Claim]:
    """Exact, so there is no interval: what happens at each condition number itself decides."""
    setting = f'k {k}, alpha {alpha:g}, learning rates tuned'
    under = [gain.ratio for gain in gains if gain.condition <= _under_damped_limit(gain.beta)]
    over = [gain.ratio for gain in gains if gain.condition > _under_damped_limit(gain.beta)]
    if under:
        faster = sum(ratio > 1 for ratio in under)
        yield Claim(
            f'Lookahead ({setting}) is faster than momentum at every condition number at which '
            'momentum is under-damped (ours)',
            f'faster at {faster} of {len(under)}, by {min(under):.2g} to {max(under):.2g} times',
            _outcome(faster == len(under)),
            paper=_ZHANG,
        )
    if over:
        yield Claim(
            f'Lookahead ({setting}) is 1 / alpha times slower at most where momentum is '
            'over-damped: what its slow step alone costs (ours)',
            f'{1 / max(over):.2g} to {1 / min(over):.2g} times slower at {len(over)} condition '
            f'numbers; 1 / alpha {1 / alpha:.3g}',
            # a slow step costs its whole factor in the limit alone, and rates are float32
            _outcome(1 / min(over) <= 1.01 / alpha),
        )


def _under_damped_limit(beta):
    root = math.sqrt(beta)
    return ((1 + root) / (1 - root)) ** 2


def _outcome(holds):
    return REPRODUCED if holds else NOT_REPRODUCED
