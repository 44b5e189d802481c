"""Draws until a comparison is decided: 'auto' in place of the number of seeds or of tunings.

The claims are judged after 8 draws; while one is undecided, after 13, 20 and 32. Who looks four
times at 95 % is wrong too often, so that each look has an interval of 1 - 0.05 / 4 = 98.75 %: of
all four together at least 95 % hold what they are of, whatever the distribution and whenever one
stops (Bonferroni). Eight is the fewest draws whose exact interval of the median holds so much.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from lbexp.ranges import Draws
from lbexp.studies import Trial
from lbexp.studies._comparison.arms import (
    Arm,
    Score,
    Tuning,
    each_tuning,
    first_trials,
    next_trials,
    tuning_results,
)
from lbexp.studies._comparison.tagged import key_of, tagged_trials

LOOKS = (8, 13, 20, 32)  # draws after which claims are judged
CONFIDENCE = 1 - 0.05 / len(LOOKS)  # of each look


def tuning_of(budget: int, seeds: Draws, tunings: Draws, score: Score, **fields: Any) -> Tuning:
    """The tuning of a comparison; where it says 'auto', with the draws of the first look.

    Args:
        budget, seeds, tunings, score: as in `Tuning`; 'auto': seeds, or tunings, are drawn until
            the claims are decided.
        fields: others of `Tuning`.
    Raises:
        Refusal: both are 'auto', or seeds are where intervals are over several tunings.
    """
    if seeds == 'auto' and tunings != 1:
        raise Refusal(
            f"seeds: found 'auto' with tunings={tunings!r}, over which intervals are; allowed: "
            "tunings='auto', or tunings=1"
        )
    if seeds == 'auto':
        return Tuning(budget, LOOKS[0], score, grows='seeds', **fields)
    if tunings == 'auto':
        return Tuning(budget, seeds, score, tunings=LOOKS[0], grows='tunings', **fields)
    return Tuning(budget, seeds, score, tunings=tunings, **fields)


def of_look(tuning: Tuning, draws: int) -> Tuning:
    """The tuning with as many of the draws that grow."""
    if tuning.grows == 'tunings':
        return tuning._replace(tunings=draws)
    return tuning._replace(seeds=draws)


def latest_look(workdir: Path, arms: Sequence[Arm], tuning: Tuning) -> int:
    """The draws of the last look that the workdir's trials were asked for."""
    trial_of = tagged_trials(workdir)
    for draws in reversed(LOOKS[1:]):
        if _was_asked_for(workdir, arms, of_look(tuning, draws), trial_of):
            return draws
    return LOOKS[0]


def _was_asked_for(workdir, arms, tuning, trial_of):
    """Whether the last draw has a trial: a round is recorded whole."""
    if tuning.grows == 'tunings':
        last = each_tuning(tuning)[-1]._replace(tunings=1)
        return any(key_of(trial) in trial_of for trial in first_trials(arms, last))
    tuned = tuning_results(workdir, arms, tuning)
    return any(len(result.trials) == tuning.seeds for result in tuned.values())


def trials_of_next_look(
    workdir: Path, arms: Sequence[Arm], tuning: Tuning, analysis: Analysis
) -> list[Trial]:
    """What the next look needs, where a claim is undecided at the latest one; [] where there is
    none, or no look is left.

    Args:
        tuning: one that grows.
        analysis: of the latest look.
    """
    later = [draws for draws in LOOKS if draws > latest_look(workdir, arms, tuning)]
    claims = map(at_level_of_looks, analysis.claims)
    if not later or all(claim.outcome != UNDECIDED for claim in claims):
        return []
    tuning_of_next = of_look(tuning, later[0])
    if tuning.grows == 'tunings':
        return first_trials(arms, tuning_of_next)
    return next_trials(workdir, arms, tuning_of_next)


def at_level_of_looks(claim: Claim) -> Claim:
    """The claim, undecided where the interval of a look does not decide it."""
    if not claim.rule:
        return claim
    low, high = claim_interval(claim.effects, CONFIDENCE)
    words = f'{claim.measured}; [{low:.3g}, {high:.3g}] at 98.75 %, as four looks are taken'
    claim = claim._replace(measured=words)
    decided = claim.outcome in (REPRODUCED, NOT_REPRODUCED)
    if decided and RULES[claim.rule]((low, high), claim.margin) != claim.outcome:
        return claim._replace(outcome=UNDECIDED)
    return claim
