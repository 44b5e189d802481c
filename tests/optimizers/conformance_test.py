"""Every optimizer and variant against float64 transcriptions of its paper, 50 steps, in float64 and
float32.

Without -m slow every case runs on a network in float64 and at the extremes in float32, and the
first case of each optimizer the other way round too.
"""

import re
import textwrap

import optax
import pytest
from breadth import param
from paper_cases import CASES, SQUARED, TOLERANCE, schedule
from paper_problems import compared, edge, network

from lbexp import optimizers

pytestmark = pytest.mark.usefixtures('quick_compilation')

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


def chain_in_docstring(function, **numbers):
    """The optax chain that the docstring of `function` shows, built with these numbers."""
    code = re.search(r'(?ms)^( +)optax\.chain\(.*?^\1\)', function.__doc__).group()
    return eval(textwrap.dedent(code), {'optax': optax, **numbers})


CHAINS = {
    'lars norm of sum': lambda: chain_in_docstring(
        optimizers.lars,
        learning_rate=schedule,
        weight_decay=0.05,
        trust_coefficient=0.1,
        momentum=0.9,
    ),
    'lamb all': lambda: chain_in_docstring(
        optimizers.lamb, learning_rate=schedule, b1=0.9, b2=0.999, eps=1e-6, weight_decay=0.1
    ),
}


@pytest.mark.parametrize('name', CHAINS)
def test_equals_the_chain_that_its_docstring_shows(name):
    """The paper's reference lies between: `test_equals_the_paper` holds ours to it."""
    difference, _ = compared(CASES[name], network(), 'float64', CHAINS[name])
    assert difference <= TOLERANCE['float64']


@pytest.mark.parametrize(
    'name', [name for name, case in CASES.items() if case.optax and name not in CHAINS]
)
def test_equals_optax_where_that_is_the_paper(name):
    difference, _ = compared(CASES[name], network(), 'float64', CASES[name].optax)
    assert difference <= TOLERANCE['float64']


def test_there_are_enough_cases():
    assert len(CASES) >= 25 and set(FIRST) <= set(CASES)
