"""Autocorrelation and convergence against rational arithmetic, in both precisions."""

from decimal import Decimal
from fractions import Fraction

import jax
import numpy as np
import pytest
from accuracy import (
    ALPHA,
    BETA,
    TAIL,
    K,
    near,
    tail_sum,
)
from reference.rationals import (
    decimal,
)

from lbexp.theory.autocorrelation import (
    autocorrelation,
    autocorrelation_time,
    burn_in,
    effective_sample_size,
    sde_coefficient,
)
from lbexp.theory.convergence import convergence, damping, rate_on_spectrum
from lbexp.theory.process import process

pytestmark = pytest.mark.usefixtures('quick_compilation')


def test_autocorrelation(dtype, rates):
    correlations = jax.jit(lambda h: autocorrelation(process(h, 1.0), 1.0, 3))
    for h, exact, condition in rates(2, (0.25, 0.9, 0.999)):
        for lag, found in enumerate(correlations(h)):
            near(found, (1 - exact) ** lag, dtype, condition + 1 / abs(1 - h))


def test_autocorrelation_time(dtype, rates):
    for h, exact, condition in rates(2):
        near(autocorrelation_time(None, gap=h), (2 - exact) / exact, dtype, condition)
        for count in (1, 2, 7, TAIL):
            value = tail_sum(1 - exact, count)
            near(autocorrelation_time(None, count, h), value, dtype, condition)
            near(effective_sample_size(None, count, h), count / value, dtype, condition)
    # A Python number keeps its own digits, whatever JAX's precision.
    exact = tail_sum(Fraction(1 - 1e-12), TAIL)
    near(effective_sample_size(1 - 1e-12, TAIL), TAIL / exact, dtype)


def test_burn_in(dtype, rates):
    for h, exact, _ in rates(1, (0.5, 0.9)):
        steps = Decimal('0.125').ln() / (1 - decimal(exact)).ln()
        assert abs(float(burn_in(None, 0.125, h)) - float(steps)) <= 1 + 8 * float(
            np.finfo(dtype).eps
        ) * float(steps)


def test_sde_coefficient(dtype, rates):
    for h, exact, _ in rates(2):
        near(sde_coefficient(h, 1.0), (-decimal(exact)).exp(), dtype)


def test_convergence(dtype, rates):
    for h, exact, condition in rates(2):
        radius = abs(1 - exact)
        near(convergence(h, 1.0), 1 - radius, dtype, condition)
        cycle = abs(1 - ALPHA + ALPHA * (1 - exact) ** K)
        near(
            convergence(h, 1.0, k=K, slow_step_size=float(ALPHA)),
            1 - (decimal(cycle).ln() / K).exp(),
            dtype,
            condition,
        )
    for h, exact, _ in rates(2, ()):
        t, d = decimal(1 + BETA - exact), decimal(BETA)
        real, root = t * t - 4 * d, abs(t * t - 4 * d).sqrt()
        radius = (t + root) / 2 if real >= 0 else d.sqrt()
        near(convergence(h, 1.0, float(BETA)), 1 - radius, dtype)
        exactly = decimal((1 + BETA - exact) ** 2 - 4 * BETA)
        near(damping(h, 1.0, float(BETA)), exactly, dtype, 1 + abs(h / float(exactly)))
        near(rate_on_spectrum(1 / h, 1.0, 16), exact, dtype, 1, 64 * (1 - np.log10(h)))
