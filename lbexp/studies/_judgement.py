"""Claims on arms: one's metric less another's, and whether both fit their training set."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lbexp.analysis import (
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    UNDER_TRAINED,
    Claim,
    below,
    claim_interval,
    format_interval,
    judged,
)
from lbexp.studies._comparison import compare
from lbexp.studies._comparison.arms import Tuning
from lbexp.studies._comparison.compare import Measured

TEST, TRAINING = 'test_error', 'train_error'


class Fitting(NamedTuple):
    """When an arm fits its training set."""

    reference: str  # the arm that it is compared with
    margin: float  # by how much its training error may be higher


def contrast(
    claim: str,
    measured: Measured,
    arm: str,
    other: str,
    test: Callable[[tuple[float, float], float], str],
    margin: float = 0.0,
    fitting: Fitting | None = None,
    paper: str = '',
    metric: str = 'error',
) -> Claim:
    """The claim by the differences of test error, or another metric, of two arms, draw by draw.

    Args:
        claim: one line, with its source.
        measured: of all arms.
        arm, other: the effect is the test error of `arm` minus that of `other`.
        test: `analysis.above`, `below` or `within`.
        margin: of the test.
        fitting: the claim is one on generalization, and decided only where both arms fit the
            training set (`among_fitting`).
        paper: what the paper measured.
        metric: of the test set, instead of the error.
    """
    name = f'test_{metric}'
    effects = compare.differences(measured, arm, other, name)
    words = f'{compare.in_words(name)}, "{arm}" minus "{other}": {format_interval(effects)}'
    judgement = judged(claim, words, test, effects, margin)
    numbers = tuple(map(float, effects))
    judgement = judgement._replace(paper=paper, effects=numbers, contrast=(name, arm, other))
    if fitting is None:
        return judgement
    return among_fitting(judgement, measured, [arm, other], fitting)


def fit(measured: Measured, arm: str, fitting: Fitting) -> str:
    """Whether an arm fits the training set as well as the reference does: REPRODUCED where its
    training error is at most the margin higher, NOT_REPRODUCED where it is more, else UNDECIDED."""
    excess = compare.differences(measured, arm, fitting.reference, TRAINING)
    return below(claim_interval(excess), fitting.margin)


def among_fitting(claim: Claim, measured: Measured, arms: Sequence[str], fitting: Fitting) -> Claim:
    """The claim on generalization as it is where all the arms fit the training set as well as the
    reference does.

    Test errors of networks of unequal training error tell of optimization, too. Where an arm is
    shown to fit worse, the verdict is UNDER_TRAINED; where that is not known, UNDECIDED.
    """
    fits = {arm: fit(measured, arm, fitting) for arm in arms}
    worse = [arm for arm in arms if fits[arm] == NOT_REPRODUCED]
    unknown = [arm for arm in arms if fits[arm] == UNDECIDED]
    if not worse and not unknown:
        return claim
    arm = (worse or unknown)[0]
    excess = compare.differences(measured, arm, fitting.reference, TRAINING)
    words = f'training error, "{arm}" minus "{fitting.reference}": {format_interval(excess)}'
    outcome = UNDER_TRAINED if worse else UNDECIDED
    # nothing is tested, so nothing is corrected for
    return claim._replace(measured=f'{claim.measured}; {words}', outcome=outcome, p_value=math.nan)


def largest_fitting(measured: Measured, arms: Sequence[str], fitting: Fitting) -> int:
    """Place of the last arm that fits the training set as well as the reference, and so do all
    before it; 0: none.

    Args:
        arms: the reference first, the batch growing.
    """
    place = 0
    for arm in arms[1:]:
        if fit(measured, arm, fitting) != REPRODUCED:
            break
        place += 1
    return place


def drawn(tuning: Tuning, each: str = 'mean') -> str:
    """'Medians with exact 95 % intervals (below 6: ranges) over 6 seeds of one tuning.'

    Args:
        each: what a tuning is of its seeds.
    """
    interval = 'Medians with exact 95 % intervals (of fewer than 6: ranges)'
    if tuning.tunings == 1:
        return f'{interval} over {tuning.seeds} seeds of one tuning.'
    return f'{interval} over {tuning.tunings} tunings, each the {each} of {tuning.seeds} seeds.'
