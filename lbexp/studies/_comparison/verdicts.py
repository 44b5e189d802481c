"""What a comparison's claims have to stand beside the draws that they were judged by: that the
grid of points may have missed the optima, and that the test set is a sample too.

It can only take a decision back: an interval grows, or an effect is no larger than what may have
been missed.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lbexp import crossed, results
from lbexp.analysis import (
    NOT_REPRODUCED,
    REPRODUCED,
    RULES,
    UNDECIDED,
    Analysis,
    Claim,
    claim_interval,
)
from lbexp.errors import Refusal
from lbexp.studies._comparison import compare
from lbexp.studies._comparison.compared import Compared

# ends of the names of arguments that say where a claim's boundary lies
_JUDGING = ('margin', 'tolerance', 'target')


class Mistakes(NamedTuple):
    """Of trials, which test examples they get wrong."""

    row_of: dict[int, int]  # of each trial
    values: np.ndarray  # [trials, examples], 0 or 1


def stand(
    compared: Compared,
    analysis: Analysis,
    taken_back: Callable[[Claim], Claim] | None = None,
) -> Analysis:
    """The analysis whose claims on differences of two arms (`Claim.contrast`) stand all that.

    Where one is taken back, the study has no more passed, and its verdict says how many were.

    Args:
        taken_back: what each claim has to stand before, if anything.
    """
    mistakes = read_mistakes(compared.workdir)
    claims = []
    for claim in analysis.claims:
        if taken_back is not None:
            claim = taken_back(claim)
        if claim.contrast is not None and claim.rule:
            claim = over_examples(compared, claim, mistakes)
            claim = beyond_grid(compared, claim)
        claims.append(claim)
    pairs = zip(analysis.claims, claims, strict=True)
    count = sum(before.outcome != after.outcome for before, after in pairs)
    if not count:
        return analysis._replace(claims=claims)
    why = 'the grid of points or the test set'
    if taken_back is not None:
        why += ', or as they are judged several times'
    verdict = (
        f'{analysis.verdict} Of these claims {count} are undecided for {why}: see what was '
        'measured.'
    )
    return analysis._replace(claims=claims, verdict=verdict, passed=None)


def beyond_grid(compared: Compared, claim: Claim) -> Claim:
    """The claim, undecided where its effect is no farther from the claim's boundary than the grid's
    error of either arm.

    The effect of an equivalence is compared with the margin, that of another claim with its
    boundary, 0 mostly. Arms that share one tuning differ in nothing that the grid decides. Where
    the grid's error is not known (several numbers tuned), nothing is said.
    """
    assert claim.contrast is not None
    _, *names = claim.contrast
    root = {arm.name: arm.tuned_as or arm.name for arm in compared.arms}
    if len({root[name] for name in names}) == 1:
        return claim
    errors = []
    for name in names:
        of_arm = [tuning[name] for tuning in compared.tunings]
        errors.append(compare.grid_error(of_arm))
    missed = np.nanmax([0.0, *errors])
    effects = np.array(claim.effects, float)
    effects = effects[np.isfinite(effects)]
    if not len(effects):
        return claim
    effect = float(np.median(effects))
    distance = abs(effect - claim.margin)
    if claim.rule == 'within':
        distance = abs(abs(effect) - claim.margin)
    if missed <= distance:
        return claim
    what = f'the distance of the effect from {claim.margin:g}' if claim.margin else 'the effect'
    words = f"{claim.measured}; the grid's error {missed:.2g} exceeds {what}"
    return _undecided(claim._replace(measured=words))


def over_examples(compared: Compared, claim: Claim, mistakes: Mistakes | None) -> Claim:
    """The claim with its interval over draws and test examples beside that over draws alone.

    What decides is the wider: from the lower of the low ends to the higher of the high ones.
    """
    assert claim.contrast is not None
    metric, arm, other = claim.contrast
    if mistakes is None or metric != 'test_error':
        return claim
    of_arm, of_other = (paired_mistakes(compared, name, mistakes) for name in (arm, other))
    count = min(len(of_arm), len(of_other))
    if not count:
        return claim
    effects = of_arm[:count] - of_other[:count]
    mean, low, high = crossed.two_way_interval(effects)
    if not math.isfinite(low):
        return claim
    unit, examples = compare.unit_of(compared.tuning), effects.shape[1]
    lowest, highest = claim_interval(claim.effects)
    words = f'over {unit} and {examples} test examples {mean:.3g} [{low:.3g}, {high:.3g}]'
    if not math.isnan(lowest):
        words = f'over {unit} alone [{lowest:.3g}, {highest:.3g}], {words}'
    claim = claim._replace(measured=f'{claim.measured}; {words}')
    # no interval over draws (NaN) stays none
    wider = float(np.minimum(lowest, low)), float(np.maximum(highest, high))
    if RULES[claim.rule](wider, claim.margin) == claim.outcome:
        return claim
    return _undecided(claim)


def paired_mistakes(compared: Compared, name: str, mistakes: Mistakes) -> np.ndarray:
    """[draws, examples] of an arm: the mistakes of each reported seed or, of several tunings, of
    each the mean over its seeds. NaN: a trial diverged."""
    examples = mistakes.values.shape[1]
    by_tuning = []
    for tuning in compared.tunings:
        rows = np.full((len(tuning[name].trials), examples), np.nan)
        for place, trial in enumerate(tuning[name].trials):
            if trial in mistakes.row_of:
                rows[place] = mistakes.values[mistakes.row_of[trial]]
        by_tuning.append(rows)
    if len(by_tuning) == 1:
        return by_tuning[0]
    # a mean over none is NaN
    means = [rows.mean(axis=0) if len(rows) else np.full(examples, np.nan) for rows in by_tuning]
    return np.stack(means)


def read_mistakes(workdir: Path) -> Mistakes | None:
    """What the workdir kept of each trial on each test example; None: nothing."""
    try:
        trials, accuracies = results.per_example(workdir, 'accuracy')
    except Refusal:
        return None
    if not len(trials) or accuracies.ndim != 2:
        return None
    row_of = {int(trial): row for row, trial in enumerate(trials)}
    return Mistakes(row_of, 1.0 - accuracies)


def told_changes(analysis: Analysis, changes: Sequence[dict[str, list]]) -> Analysis:
    """The analysis whose claims tell which of the numbers that they are judged by were changed
    after there were results.

    Args:
        changes: of config.json, {path: [before, after]}, oldest first.
    """
    words = []
    for change in changes:
        for path, (before, after) in change.items():
            if path.startswith('study.') and path.endswith(_JUDGING):
                name = path.removeprefix('study.')
                words.append(f'{name} was changed from {before} to {after} after results')
    if not words:
        return analysis
    claims = []
    for claim in analysis.claims:
        claims.append(claim._replace(measured=f'{claim.measured}; {"; ".join(words)}'))
    return analysis._replace(claims=claims, verdict=f'{analysis.verdict} {"; ".join(words)}.')


def _undecided(claim):
    """The claim, no more decided; one that was not keeps its outcome."""
    if claim.outcome in (REPRODUCED, NOT_REPRODUCED):
        return claim._replace(outcome=UNDECIDED)
    return claim
