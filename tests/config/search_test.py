"""Quasi-random search: a pure function of space, seed and index; even; what cannot be searched is
told."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbexp.config.search import search

pytestmark = pytest.mark.quick

SPACE = {'rate': ('log', 1e-3, 10.0), 'momentum': ('linear', 0.5, 1.0), 'k': ('whole', 2, 9)}


@pytest.mark.parametrize('kind', ['halton', 'sobol'])
@settings(deadline=None)  # the first example imports scipy
@given(fewer=st.integers(1, 64), more=st.integers(1, 128), seed=st.integers(0, 2**31))
def test_more_points_keep_the_first(kind, fewer, more, seed):
    short, long = search(SPACE, fewer, seed, kind), search(SPACE, fewer + more, seed, kind)
    assert long[:fewer] == short
    assert search(SPACE, fewer, seed + 1, kind) != short


@pytest.mark.parametrize('kind', ['halton', 'sobol'])
def test_each_dimension_is_covered_evenly(kind):
    """128 points: every eighth of a range, on its own scale, holds 16 of them, or two more or
    less."""
    points = search(SPACE, 128, kind=kind)
    unit = {
        'rate': [math.log10(p['rate'] / 1e-3) / 4 for p in points],
        'momentum': [(p['momentum'] - 0.5) / 0.5 for p in points],
    }
    for values in unit.values():
        counts = np.histogram(values, 8, (0, 1))[0]
        assert counts.sum() == 128 and abs(counts - 16).max() <= 2
    assert sorted({p['k'] for p in points}) == list(range(2, 10))
    assert all(isinstance(p['k'], int) for p in points)


@pytest.mark.parametrize(
    'space, count, told',
    [
        ({}, 4, 'space: found nothing'),
        ({'a': ('log', 0.0, 1.0)}, 4, 'low > 0'),
        ({'a': ('linear', 2.0, 1.0)}, 4, 'low <= high'),
        ({'a': ('cubic', 1.0, 2.0)}, 4, "'linear', 'log' or 'whole'"),
        ({'a': ('linear', 1.0, 2.0)}, 0, 'count: found 0'),
    ],
)
def test_what_cannot_be_searched(space, count, told):
    with pytest.raises(ValueError, match=told):
        search(space, count)
