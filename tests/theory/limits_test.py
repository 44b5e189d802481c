"""Limits of stability, against the matrices of the updates."""

import pytest

from lbexp.theory.fixed_point import fixed_point
from lbexp.theory.limits import lookahead_rate_limit
from lbexp.theory.process import process


@pytest.mark.parametrize(('k', 'alpha'), [(1, 0.5), (2, 0.5), (5, 0.5), (5, 0.8), (6, 0.3)])
def test_lookahead_is_stable_up_to_its_limit(k, alpha):
    limit = float(lookahead_rate_limit(2.0, k, alpha))
    below = process(0.99 * limit, 2.0, k=k, slow_step_size=alpha)
    assert fixed_point(below, 1.0).stable
    above = process(1.01 * limit, 2.0, k=k, slow_step_size=alpha)
    with pytest.raises(ValueError, match='spectral radius of a cycle'):
        fixed_point(above, 1.0)
