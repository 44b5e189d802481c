"""The claims about variances at rest, from planted rows: Lookahead's apart from all else."""

import numpy as np
import pytest

from lbexp.analysis import NOT_REPRODUCED, REPRODUCED
from lbexp.studies._noisy_quadratic.cases import Row
from lbexp.studies._presentation.steady_state import claims

NOISE = 4.0


def rows(slow=1.0, others=1.0, alpha=0.5):
    """Measured variances, as a share of the theory's, of slow weights and of all else."""
    generator = np.random.default_rng(0)
    planted = []
    for trial, a in enumerate(np.linspace(0.2, 1.5, 20)):
        h, k = 0.5 * a, 5
        r = 1 - h
        sgd = h * NOISE / (2 - h)
        top = alpha**2 * (1 - r ** (2 * k))
        lookahead = sgd * top / (top + 2 * alpha * (1 - alpha) * (1 - r**k))
        facts = dict(gamma=0.5, a=a, k=k, alpha=alpha)
        for label, weights, exact, share in (
            ('SGD', 'deployed', sgd, others),
            ('Lookahead(SGD)', 'deployed', lookahead, slow),
            ('Lookahead(SGD)', 'fast', 0.9 * sgd, others),
        ):
            error = 0.01 * exact
            measured = share * exact + error * generator.standard_normal()
            all_facts = {**facts, 'weights': weights}
            planted.append(Row(label, all_facts, measured, error, exact, trial))
    return planted


@pytest.mark.parametrize(
    'planted, expected',
    [
        (rows(), [REPRODUCED, REPRODUCED, REPRODUCED]),
        (rows(slow=1.1), [NOT_REPRODUCED, REPRODUCED, REPRODUCED]),
        (rows(others=1.1), [REPRODUCED, REPRODUCED, NOT_REPRODUCED]),
        # as large as that of SGD
        (rows(slow=2.6), [NOT_REPRODUCED, NOT_REPRODUCED, REPRODUCED]),
    ],
)
def test_claims_follow_the_variances(planted, expected):
    assert [claim.outcome for claim in claims(planted, NOISE)] == expected


def test_a_slow_step_of_1_lowers_nothing_and_is_not_asked():
    proposition, others = claims(rows(alpha=1.0), NOISE)
    assert proposition.outcome == others.outcome == REPRODUCED


def test_ratios_are_to_sgd_with_the_same_noise():
    (_, lower, _) = claims(rows(), NOISE)
    ratios = [float(word.rstrip(',')) for word in lower.measured.split()[1:4:2]]
    exact = [row.theory for row in rows() if row.facts['weights'] == 'deployed']
    shares = np.array(exact[1::2]) / np.array(exact[::2])
    assert ratios == pytest.approx([shares.min(), shares.max()], rel=0.03)
