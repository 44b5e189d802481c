"""The claims about variances at rest, from rows of measurement beside theory."""

from collections.abc import Iterator, Sequence

from lbexp.analysis import NOT_REPRODUCED, REPRODUCED, Claim
from lbexp.studies._noisy_quadratic.cases import Row, verdict

_PROPOSITION = (
    'Zhang et al. 2019 (arXiv:1907.08610, Proposition 2): the same formula, and that it is '
    'smaller, for the noisy quadratic; proved, not measured'
)


def claims(rows: Sequence[Row], noise: float) -> Iterator[Claim]:
    """What the paper says of Lookahead around SGD, and what is ours of all else.

    Args:
        rows: those with a closed form.
        noise: variance of the target of one example.
    """
    slow, others = [], []
    for row in rows:
        of_paper = row.label == 'Lookahead(SGD)' and row.facts['weights'] == 'deployed'
        (slow if of_paper else others).append(row)
    if slow:
        agrees, words = verdict(slow)
        yield Claim(
            'The variance at rest of the slow weights of Lookahead around SGD is alpha^2 '
            '(1 - r^2k) / (alpha^2 (1 - r^2k) + 2 alpha (1 - alpha) (1 - r^k)) times that of SGD, '
            'r = 1 - gamma a',
            words,
            _outcome(agrees),
            paper=_PROPOSITION,
        )
    below_one = [row for row in slow if row.facts['alpha'] < 1]
    if below_one:
        yield _lower(below_one, noise)
    if others:
        agrees, words = verdict(others)
        yield Claim(
            'The variances at rest of SGD, momentum, Nesterov, EMA, and of Lookahead around '
            'momentum and within a cycle are those of their linear systems (ours)',
            words,
            _outcome(agrees),
        )


def _lower(slow, noise):
    """Whether every one of these leaves less variance than SGD has at the same rate."""
    from lbexp.theory.stationary_variance import stationary_variance

    ratios, ends = [], []
    for row in slow:
        sgd = float(stationary_variance(row.facts['gamma'], row.facts['a'], noise))
        ratios.append(row.measured / sgd)
        ends.append((row.measured + 2 * row.error) / sgd)
    largest = max(ends)
    return Claim(
        'It is below that of SGD at the same learning rate, for every slow step below 1',
        f'ratios {min(ratios):.3g} to {max(ratios):.3g}, with two errors {largest:.3g} at most',
        _outcome(largest < 1),
        paper=_PROPOSITION,
    )


def _outcome(holds):
    return REPRODUCED if holds else NOT_REPRODUCED
