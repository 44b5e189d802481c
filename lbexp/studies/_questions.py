"""Studies that ask, of pairs of tuned arms, whether one has the lower test error, or less of
another metric, or neither has."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

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
    """The test error of `arm`, or another metric, less that of `other`, pair by pair: is it above
    the margin?"""

    claim: str  # one line
    arm: str
    other: str
    margin: float = 0.0
    # above, below or within: what is asked of the difference
    test: Callable[[tuple[float, float], float], str] = above
    paper: str = ''  # what the paper measured


def answers(
    questions: Iterable[Question], measured: Measured, metric: str = 'error'
) -> list[Claim]:
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
                metric=metric,
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
    """Table of the arms, their errors or what else the tuning compares, and the claims: passed
    where all are reproduced, None where one is undecided.

    Args:
        reference: the arm that the table compares the others with.
    """
    test, ends = f'test_{compared.tuning.metric}', []
    for name, metrics in measured.items():
        ends.append(f'{name} {format_interval(metrics[test])}')
    outcomes = {claim.outcome for claim in claims}
    passed = outcomes <= {REPRODUCED}
    if UNDECIDED in outcomes:
        passed = None
    return Analysis(
        title,
        f'{compare.in_words(test).capitalize()}: {"; ".join(ends)}.',
        [compare.table(compared, measured, reference)],
        [_figure(compared, measured)],
        passed,
        claims,
    )


def _figure(compared, measured):
    names, metric = list(measured), compared.tuning.metric
    noun, series = compare.in_words(metric), []
    for part, column in (('test', f'test_{metric}'), ('training', f'train_{metric}')):
        values = [measured[name][column] for name in names]
        if not np.isfinite(np.concatenate(values)).any():  # it was not evaluated
            continue
        dots, _ = compare.points(part, range(len(names)), values)
        series.append(dots)
    unit = compare.unit_of(compared.tuning)
    caption = f'Medians and intervals over {unit}, each arm at its best point.'
    title = 'Errors' if metric == 'error' else f'{noun.capitalize()} of each arm'
    return Figure('errors', title, '', noun, series, 'linear', 'linear', caption, names)
