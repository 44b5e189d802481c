"""Variances of several workers and of stale gradients against rational arithmetic, in both
precisions."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import pytest
from accuracy import (
    ALPHA,
    BETA,
    SMALL,
    K,
    lookahead_variance,
    near,
    sgd,
)
from reference.rationals import (
    rest_of_delayed,
    rest_of_local_sgd,
    rest_of_memoryless,
    rest_of_worker,
)

from lbexp.theory.fixed_point import fixed_point
from lbexp.theory.local_sgd import averaged_variance, local_sgd, worker_spread
from lbexp.theory.staleness import delay_limit, memoryless, staleness

pytestmark = pytest.mark.usefixtures('quick_compilation')


def test_local_sgd(dtype, rates):
    mu = Fraction(1, 2)
    for nesterov in (True, False):
        made = jax.jit(
            lambda h, n=nesterov: local_sgd(
                h, 1.0, float(BETA), False, 3, float(ALPHA), float(mu), n
            )
        )
        for h, exact, condition in rates(2, (0.5,)):
            p = made(jnp.asarray(h, dtype))
            value = rest_of_local_sgd(exact, BETA, 3, ALPHA, mu, nesterov)
            near(
                p.evaluation @ fixed_point(p, 1.0).covariance @ p.evaluation,
                value,
                dtype,
                condition,
                200,
            )


def test_averaged_variance(dtype, rates):
    for h, exact, condition in rates(2):
        near(
            averaged_variance(h, 1.0, 1.0, 3, K, float(ALPHA)),
            lookahead_variance(exact) / 3,
            dtype,
            condition,
        )


def test_worker_spread(dtype, rates):
    for h, exact, condition in rates(2):
        found = worker_spread(h, 1.0, 1.0, 4, k=K)
        near(
            found, Fraction(3, 4) * (1 - (1 - exact) ** (2 * K)) * sgd(exact), dtype, condition, 200
        )
        if h < 1:
            found = worker_spread(h, 1.0, 1.0, 4, float(BETA), k=3)
            near(found, Fraction(3, 4) * rest_of_worker(exact, BETA, 3), dtype, condition, 200)


def test_staleness(dtype, rates):
    for delay in (0, 2):
        rest = jax.jit(
            lambda h, d=delay: fixed_point(staleness(h, 1.0, d, 0.5), 1.0).covariance[0, 0]
        )
        for h, exact, condition in rates(Fraction(float(delay_limit(1.0, delay))), (0.25,)):
            near(
                rest(jnp.asarray(h, dtype)),
                rest_of_delayed(exact, Fraction(1, 2), delay),
                dtype,
                condition,
                300,
            )


def test_memoryless(dtype, rates):
    for workers in (1, 2):
        for h, exact, condition in rates(1, (0.25,), SMALL[::2]):
            found = memoryless(h, 1.0, 1.0, workers, 0.5).covariance[0, 0]
            near(found, rest_of_memoryless(exact, Fraction(1, 2), workers), dtype, condition, 300)
