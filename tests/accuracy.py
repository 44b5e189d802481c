"""What the tests of accuracy share: rates times curvature from 1e-12 to the limit, in both
precisions, and how near is near."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from breadth import param

K, ALPHA, BETA, DECAY, TAIL = 5, Fraction(1, 4), Fraction(7, 8), Fraction(63, 64), 100
SMALL = (1e-12, 1e-9, 1e-7, 1e-5, 1e-3, 0.1)  # rate times curvature
SHARES = (0.5, 0.9, 0.99, 0.999)  # of the limit
# Without -m slow: the ends, and the middle decade, where float32 has lost h beside 1.
FEW = {1e-12, 1e-7, 0.1, 0.25, 0.5, 0.999}


@pytest.fixture(params=[jnp.float32, jnp.float64], ids=['float32', 'float64'])
def dtype(request):
    with jax.enable_x64(request.param == jnp.float64):
        yield request.param


@pytest.fixture(params=[False, param(True, default=False)], ids=['few', 'every'])
def rates(request, dtype):
    """(limit, shares, small) -> (rate as a Python number that the precision holds, exactly the
    same, condition: 1 / distance to the limit)."""

    def generate(limit, shares=SHARES, small=SMALL):
        shares, small = (
            [x for x in numbers if request.param or x in FEW] for numbers in (shares, small)
        )
        for h in (*small, *(share * float(limit) for share in shares)):
            value = float(np.dtype(dtype).type(h))
            yield value, Fraction(value), float(1 / (1 - Fraction(value) / limit))

    return generate


def near(found, exact, dtype, condition=1.0, units=32):
    """Within `units` of the last place, times the condition of the problem."""
    exact = float(exact)
    tolerance = units * float(np.finfo(dtype).eps) * condition
    assert abs(float(found) - exact) <= tolerance * abs(exact), (
        float(found),
        exact,
        float(found) / exact - 1,
    )


def sgd(h, noise=1):
    return h * noise / (2 - h)


def lookahead_variance(h, k=K, alpha=ALPHA):
    r = 1 - h
    return alpha**2 * (1 - r ** (2 * k)) * sgd(h) / (1 - (1 - alpha + alpha * r**k) ** 2)


def tail_sum(r, count):
    return sum((1 - Fraction(abs(j), count)) * r ** abs(j) for j in range(1 - count, count))
