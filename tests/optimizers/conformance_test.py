"""Every optimizer and variant against float64 transcriptions of its paper, 50 steps, in float64 and
float32.

Without -m slow every case runs on a network in float64 and at the extremes in float32, and the
first case of each optimizer the other way round too.
"""

import pytest
from breadth import param
from paper_cases import CASES, SQUARED, TOLERANCE
from paper_problems import compared, edge, network

FIRST = ('sgd', 'momentum', 'adamw', 'lars', 'larc clip', 'lamb', 'novograd', 'lookahead lamb')


def in_precisions(precision):
    """Every case in both precisions; what is in another than `precision` is slow, but for FIRST."""
    return pytest.mark.parametrize(
        ('name', 'dtype'),
        [
            param(name, dtype, default=dtype == precision or name in FIRST)
            for name in CASES
            for dtype in TOLERANCE
        ],
    )


@in_precisions('float64')
def test_equals_the_paper(name, dtype):
    difference, distance = compared(CASES[name], network(), dtype)
    assert difference <= TOLERANCE[dtype]
    assert distance > 0.01, 'weights hardly moved: the comparison would mean nothing'


@in_precisions('float32')
def test_equals_the_paper_at_zeros_and_extremes(name, dtype):
    squares = dtype == 'float32' and any(part in name for part in SQUARED)
    difference, _ = compared(CASES[name], edge(1e18 if squares else 1e20), dtype)
    assert difference <= TOLERANCE[dtype]


@pytest.mark.parametrize('name', [name for name, case in CASES.items() if case.optax])
def test_equals_optax_where_that_is_the_paper(name):
    difference, _ = compared(CASES[name], network(), 'float64', CASES[name].optax)
    assert difference <= TOLERANCE['float64']


def test_there_are_enough_cases():
    assert len(CASES) >= 25 and set(FIRST) <= set(CASES)
