"""Theory against rational arithmetic, for rates times curvature from 1e-12 to the limit, in both
precisions."""

from decimal import Decimal
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from breadth import param
from reference.rationals import (
    decimal,
    rest_of_delayed,
    rest_of_local_sgd,
    rest_of_memoryless,
    rest_of_optimizer,
    rest_of_worker,
)

from lbexp.theory.autocorrelation import (
    autocorrelation,
    autocorrelation_time,
    burn_in,
    effective_sample_size,
    sde_coefficient,
)
from lbexp.theory.convergence import convergence, damping, rate_on_spectrum
from lbexp.theory.fixed_point import fixed_point
from lbexp.theory.local_sgd import averaged_variance, local_sgd, worker_spread
from lbexp.theory.lookahead import proposition_2, variance_over_cycle, variance_within_cycle
from lbexp.theory.process import process
from lbexp.theory.staleness import delay_limit, memoryless, staleness
from lbexp.theory.stationary_variance import (
    ema_variance,
    heavy_ball_covariance,
    stationary_variance,
    tail_variance,
)

pytestmark = pytest.mark.usefixtures('quick_compilation')
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
