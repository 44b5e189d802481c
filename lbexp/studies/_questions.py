"""Studies that ask, of pairs of tuned arms, whether one has the lower test error, or none."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from lbexp.analysis import (
    REPRODUCED,
    UNDECIDED,
    Analysis,
    Claim,
    Figure,
    above,
    format_interval,
)
from lbexp.studies._comparison import compare
from lbexp.studies._comparison.compare import Measured
from lbexp.studies._comparison.comparison import Compared
from lbexp.studies._judgement import contrast


class Question(NamedTuple):
    """The test error of `arm`, less that of `other`, pair by pair: is it above the margin?"""

    claim: str  # one line
    arm: str
    other: str
    margin: float = 0.0
    # above, below or within: what is asked of the difference
    test: Callable[[tuple[float, float], float], str] = above
    paper: str = ''  # what the paper measured


def answers(questions: Iterable[Question], measured: Measured) -> list[Claim]:
    """A claim for each question."""
    claims = []
    for question in questions:
        claims.append(
            contrast(
                question.claim,
                measured,
                question.arm,
                question.other,
                question.test,
                question.margin,
                paper=question.paper,
            )
        )
    return claims


def analysis(
    title: str,
    compared: Compared,
    measured: Measured,
    claims: Sequence[Claim],
    reference: str,
) -> Analysis:
    """Table of the arms, their errors, and the claims: passed where all are reproduced, None where
    one is undecided.

    Args:
        reference: the arm that the table compares the others with.
    """
    errors = []
    for name, metrics in measured.items():
        errors.append(f'{name} {format_interval(metrics["test_error"])}')
    outcomes = {claim.outcome for claim in claims}
    passed = outcomes <= {REPRODUCED}
    if UNDECIDED in outcomes:
        passed = None
    return Analysis(
        title,
        f'Test error: {"; ".join(errors)}.',
        [compare.table(compared, measured, reference)],
        [_figure(compared, measured)],
        passed,
        claims,
    )


def _figure(compared, measured):
    names = list(measured)
    series = []
    for part, metric in (('test', 'test_error'), ('training', 'train_error')):
        values = [measured[name][metric] for name in names]
        dots, _ = compare.points(part, range(len(names)), values)
        series.append(dots)
    unit = compare.unit_of(compared.tuning)
    caption = f'Medians and intervals over {unit}, each arm at its best point.'
    return Figure('errors', 'Errors', '', 'error', series, 'linear', 'linear', caption, names)
