"""Stationary variances against rational arithmetic, for rates times curvature from 1e-12 to the
limit, in both precisions."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import pytest
from accuracy import ALPHA, BETA, DECAY, SHARES, TAIL, K, lookahead_variance, near, sgd, tail_sum
from reference.rationals import (
    rest_of_optimizer,
)

from lbexp.theory.fixed_point import fixed_point
from lbexp.theory.lookahead import proposition_2, variance_over_cycle, variance_within_cycle
from lbexp.theory.process import process
from lbexp.theory.stationary_variance import (
    ema_variance,
    heavy_ball_covariance,
    stationary_variance,
    tail_variance,
)

pytestmark = pytest.mark.usefixtures('quick_compilation')


def test_stationary_variance(dtype, rates):
    for h, exact, condition in rates(2):
        near(stationary_variance(h, 1.0, 1.0), sgd(exact), dtype, condition)
    for nesterov in (False, True):
        limit = 2 * (1 + BETA) / (1 + 2 * BETA) if nesterov else 2 * (1 + BETA)
        for h, exact, condition in rates(limit):
            found = stationary_variance(h, 1.0, 1.0, float(BETA), nesterov)
            near(found, rest_of_optimizer(exact, BETA, nesterov)[0], dtype, condition)


def test_heavy_ball_covariance(dtype, rates):
    for h, exact, condition in rates(2 * (1 + BETA)):
        variance = rest_of_optimizer(exact, BETA)[0]
        cross = variance / (1 + BETA)
        for found, part in zip(
            heavy_ball_covariance(h, 1.0, 1.0, float(BETA)), (variance, -cross, 2 * cross / exact)
        ):
            near(found, part, dtype, condition)


def test_ema_variance(dtype, rates):
    for h, exact, condition in rates(2):
        r = 1 - exact
        ratio = (1 - DECAY) / (1 + DECAY) * (1 + r * DECAY) / (1 - r * DECAY)
        near(ema_variance(h, 1.0, 1.0, float(DECAY)), sgd(exact) * ratio, dtype, condition)


def test_tail_variance(dtype, rates):
    for h, exact, condition in rates(2):
        for count in (1, 2, 7, TAIL):
            near(
                tail_variance(h, 1.0, 1.0, count),
                sgd(exact) * tail_sum(1 - exact, count) / count,
                dtype,
                condition,
            )


def test_proposition_2(dtype, rates):
    for h, exact, condition in rates(2):
        for k in (1, 4, K):
            near(
                proposition_2(h, 1.0, 1.0, k, float(ALPHA)),
                lookahead_variance(exact, k),
                dtype,
                condition,
            )


def test_variance_within_cycle(dtype, rates):
    for h, exact, condition in rates(2):
        for j in (0, 1, K):
            square = (1 - exact) ** (2 * j)
            value = square * lookahead_variance(exact) + (1 - square) * sgd(exact)
            near(variance_within_cycle(h, 1.0, 1.0, K, float(ALPHA), j), value, dtype, condition)


def test_variance_over_cycle(dtype, rates):
    for h, exact, condition in rates(2):
        for k in (1, 4, 50):
            squares = sum((1 - exact) ** (2 * j) for j in range(k)) / k
            value = squares * lookahead_variance(exact, k) + (1 - squares) * sgd(exact)
            near(variance_over_cycle(h, 1.0, 1.0, k, float(ALPHA)), value, dtype, condition)


def test_fixed_point(dtype, rates):
    cases = [
        dict(),
        dict(momentum=BETA),
        dict(momentum=BETA, nesterov=True),
        dict(ema_decay=DECAY),
        dict(k=K, slow_step_size=ALPHA),
        dict(momentum=BETA, k=K, slow_step_size=ALPHA, ema_decay=DECAY),
        dict(momentum=BETA, k=3, slow_step_size=ALPHA, buffer_policy='reset'),
        dict(momentum=BETA, k=3, slow_step_size=ALPHA, buffer_policy='interpolate'),
    ]
    solve = jax.jit(lambda h, p: fixed_point(p(h), 1.0), static_argnums=1)
    for case in cases:
        floats = {name: float(x) if isinstance(x, Fraction) else x for name, x in case.items()}
        bare = not floats.keys() & {'momentum', 'k', 'ema_decay'}

        def p(h, floats=floats):
            return process(h, 1.0, **floats)

        names = dict(momentum='beta', slow_step_size='alpha', ema_decay='decay')
        settings = {names.get(name, name): x for name, x in case.items()}
        limit = Fraction(5, 4) if 'nesterov' in case else 2  # or below it
        for h, exact, condition in rates(limit, SHARES if bare else (0.5, 0.9)):
            variance, average, deployed = rest_of_optimizer(exact, **settings)
            rest = solve(jnp.asarray(h, dtype), p)
            near(rest.covariance[0, 0], variance, dtype, condition, 200)
            near(rest.average[0, 0], average, dtype, condition, 200)
            if 'ema_decay' in case:
                near(rest.covariance[-1, -1], deployed, dtype, condition, 200)
            if bare:
                near(rest.gap, min(exact, 2 - exact), dtype, condition)
