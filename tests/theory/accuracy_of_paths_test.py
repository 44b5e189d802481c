"""Recursions, paths and fits of the theory against sixty decimals, in both precisions; nothing
public is left out."""

import importlib
import inspect
import math
import pathlib
import pkgutil
import re
from decimal import Decimal
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from breadth import param
from reference.rationals import decimal

from lbexp import theory
from lbexp.theory.convergence import tuned_rate
from lbexp.theory.critical_batch_size import PERFECT, critical_batch_size, regions
from lbexp.theory.fixed_point import fixed_point, spectral_radius, within_cycle
from lbexp.theory.limits import learning_rate_limit
from lbexp.theory.local_sgd import averaged_variance, local_sgd, worker_spread
from lbexp.theory.lookahead import (
    lookahead,
    proposition_2,
    variance_over_cycle,
    variance_within_cycle,
)
from lbexp.theory.noisy_quadratic import (
    cycle,
    evaluation_weights,
    fast_weights,
    noisy_quadratic,
    start,
    tail_average,
    trajectory,
)
from lbexp.theory.process import process
from lbexp.theory.slow_step_size import estimated_slow_step_size, slow_step_size
from lbexp.theory.staleness import memoryless, staleness
from lbexp.theory.stationary_variance import (
    ema_variance,
    heavy_ball_covariance,
    stationary_variance,
    tail_variance,
)
from lbexp.theory.steps_to_target import steps_to_target, tuned_steps

pytestmark = pytest.mark.usefixtures('quick_compilation')
RATES = [1e-12, 1e-5, 0.5, param(1e-8, default=False), param(1e-2, default=False)]
# What the others are made of: wrong there is wrong in them.
# no variances: rotation_test, noise_scale_test
PYTHON_NUMBERS = {'noise_scales', 'momentum_rotation', 'adamw_rotation'}
PYTHON_NUMBERS |= {'lars_rotation', 'lamb_rotation'}
MECHANISMS = ('exchangeable', 'geometric', 'linear_maps', 'process')


@pytest.fixture(params=[jnp.float32, jnp.float64], ids=['float32', 'float64'])
def dtype(request):
    with jax.enable_x64(request.param == jnp.float64):
        yield request.param


def held(value, dtype):
    """The number that the precision holds, as a Python number."""
    return float(np.dtype(dtype).type(value))


def near(found, exact, dtype, units=64):
    np.testing.assert_allclose(
        float(found), float(exact), rtol=units * float(np.finfo(dtype).eps), atol=0
    )


def power(h, steps):
    """(1 - h)^steps."""
    return (steps * (1 - decimal(Fraction(h))).ln()).exp()


@pytest.mark.parametrize('rate', RATES)
def test_moments_after_many_updates(dtype, rate):
    h = held(rate, dtype)
    p = process(h, 1.0)
    for steps in (1, 1000, 2**30):
        mean, variance = fast_weights(p, noisy_quadratic(p, 1.0, start(p, 1.0), steps))
        v = decimal(Fraction(h) / (2 - Fraction(h))) * (1 - power(h, 2 * steps))
        near(variance, v, dtype)
        exact = power(h, steps)
        lost = abs(exact.ln()) if exact > Decimal('1e-30') else Decimal('inf')
        # A power is known to rounding times its logarithm.
        if lost < 60:
            near(mean, exact, dtype, 64 * (1 + float(lost)))


@pytest.mark.parametrize('rate', RATES)
def test_paths(dtype, rate):
    h, steps = held(rate, dtype), 400
    p = process(h, 1.0)
    path = trajectory(p, 1.0, start(p, 1.0), steps)
    for t in (1, 20, 400):
        near(
            path.covariance[t, 0, 0],
            decimal(Fraction(h) / (2 - Fraction(h))) * (1 - power(h, 2 * t)),
            dtype,
            200,
        )
        if power(h, t) > Decimal('1e-4'):
            near(path.mean[t, 0], power(h, t), dtype, 8)


def test_a_path_moves_below_the_rounding_of_one(dtype):
    """Twenty thousand updates, each of which alone rounds away, add up."""
    h = float(np.finfo(dtype).eps) / 16
    p = process(h, 1.0)
    path = trajectory(p, 1.0, start(p, 1.0), 20_000)
    near((1 - path.mean[-1, 0]) / float(20_000 * h), 1, dtype, 4 / (20_000 / 16))


@pytest.mark.parametrize('rate', RATES)
def test_tail_average_from_the_start(dtype, rate):
    h, steps = held(rate, dtype), 30
    _, variance = tail_average(p := process(h, 1.0, tail=True), 1.0, start(p, 0.0), 0, steps)
    r = 1 - Fraction(h)
    # Noise number j moves every later weight: h r^(t - j).
    exact = (
        sum((Fraction(h) * (1 - r ** (steps - j)) / (1 - r)) ** 2 for j in range(steps)) / steps**2
    )
    near(variance, exact, dtype)


@pytest.mark.parametrize('rate', RATES)
def test_evaluation_weights_of_a_slow_average(dtype, rate):
    """An average that has seen one value is that value, also where its decay rounds to 1."""
    p = process(held(rate, dtype), 1.0, ema_decay=1 - 1e-10)
    mean, _ = evaluation_weights(p, noisy_quadratic(p, 0.0, start(p, 1.0), 1), 1)
    near(mean, 1 - Fraction(held(rate, dtype)), dtype)


@pytest.mark.parametrize('rate', RATES)
def test_within_a_cycle(dtype, rate):
    h = held(rate, dtype)
    p = process(h, 1.0, k=4, slow_step_size=0.25)
    saw = within_cycle(p, 1.0, fixed_point(p, 1.0).covariance, 4)
    for j in range(4):
        near(saw[j, 0, 0], variance_within_cycle(h, 1.0, 1.0, 4, 0.25, j), dtype)
    near(saw[4, 0, 0], proposition_2(h, 1.0, 1.0, 4, 0.25), dtype)


@pytest.mark.parametrize('rate', RATES)
def test_cycles(dtype, rate):
    h = held(rate, dtype)
    matrix = lookahead(h, 1.0, 0.5, k=3, slow_step_size=0.25)
    step = np.array([[1 - Fraction(h), -Fraction(h) / 2], [Fraction(1), Fraction(1, 2)]])
    exact = step @ step @ step
    exact[0] = exact[0] / 4 + np.array([Fraction(3, 4), 0])
    whole, spread = cycle(process(h, 1.0, 0.5, k=3, slow_step_size=0.25), 1.0)
    for i in range(2):
        for j in range(2):
            near(matrix[i, j], exact[i, j], dtype)
    radius = convergence_radius(exact)
    near(spectral_radius(matrix), radius, dtype)
    near(spectral_radius(whole), radius, dtype)
    assert np.isfinite(spread).all()


def convergence_radius(matrix):
    trace, determinant = (
        matrix[0, 0] + matrix[1, 1],
        matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0],
    )
    half = decimal(trace) / 2
    discriminant = half * half - decimal(determinant)
    return half + discriminant.sqrt() if discriminant >= 0 else decimal(determinant).sqrt()


@pytest.mark.parametrize('length', [1e-30, 1e-20, 1e-8, 1.0])
def test_slow_step_sizes_on_short_paths(dtype, length):
    slow, optimum = jnp.zeros(2, dtype), jnp.asarray([length, 2 * length], dtype)
    fast, curvature = optimum / 4, jnp.asarray([1e-3, 1.0], dtype)
    near(slow_step_size(slow, fast, curvature, optimum), 4, dtype)
    gradient = curvature * (fast - optimum * 0.5)
    near(estimated_slow_step_size(slow, fast, curvature, gradient), 1.0, dtype)
    near(
        estimated_slow_step_size(slow, fast, curvature, curvature * (fast - 0.125 * optimum)),
        0.5,
        dtype,
    )


@pytest.mark.long
@pytest.mark.parametrize('rate', [1e-6, 1e-4, 0.1])
def test_steps_to_a_target(dtype, rate):
    h, target, batch = held(rate, dtype), 0.05, 1e3
    found = steps_to_target(batch, h, target=target, spectrum=jnp.ones(1))
    v = decimal(Fraction(h) / (2 - Fraction(h))) / Decimal(batch)
    steps = ((2 * Decimal(target) - v) / (1 - v)).ln() / (2 * (1 - decimal(Fraction(h))).ln())
    assert abs(float(found) - math.ceil(steps)) <= 1 + 64 * float(np.finfo(dtype).eps) * float(
        steps
    )


@pytest.mark.long
def test_tuned_steps():
    """Two updates at a rate of 1 are enough: one that forgets the start, whose noise is below the
    target."""
    fewest, best = tuned_steps(1e3, target=0.05, spectrum=jnp.ones(1))
    assert fewest == 1 and 0.5 < best < 1.5


def test_critical_batch_sizes_far_above_and_below_the_batches():
    for unit in (2.0**10, 2.0**-20):
        sizes = unit * np.array([1.0, 2.0, 4.0])
        steps = 8192.0 + 4.0 / np.array([1.0, 2.0, 4.0])  # held exactly
        fit = critical_batch_size(sizes, steps)
        # The steps hardly move: their rounding is 2^11 times as large in what moves them.
        exact = (8192, unit * 4, unit * 4 / 8192)
        np.testing.assert_allclose(fit, exact, rtol=2**14 * 2e-16)
    assert regions([1.0], 8.0) == [PERFECT]


def test_tuned_rates():
    rate, best = tuned_rate(1e6, points=8)
    np.testing.assert_allclose(rate, 2e-6, rtol=3e-2)
    assert best < learning_rate_limit(1.0)


def test_nothing_public_is_left_out():
    files = pathlib.Path(__file__).parent.glob('accuracy_of_*_test.py')
    text = ''.join(re.sub(r'^def .*$', '', file.read_text(), flags=re.M) for file in files)
    missing = []
    for module in pkgutil.iter_modules(theory.__path__):
        home = importlib.import_module(f'lbexp.theory.{module.name}')
        public = [n for n, f in inspect.getmembers(home, callable) if not n.startswith('_')]
        own = [
            n
            for n in public
            if getattr(home, n).__module__ == home.__name__
            and not inspect.isclass(getattr(home, n))
        ]
        missing += [
            n for n in own if module.name not in MECHANISMS and not re.search(rf'\b{n}\(', text)
        ]
    # parts of what is tested
    assert set(missing) == PYTHON_NUMBERS | {
        'lookahead_rate_limit',  # limits_test
        *('as_numpy', 'require', 'require_optimizer'),  # of limits
        'cycle_change',
        'spread_after',
        'radius_and_gap',
    }


UNSTABLE = {
    'stationary_variance': lambda h: stationary_variance(h, 1.0, 1.0),
    'nesterov': lambda h: stationary_variance(h, 1.0, 1.0, 0.5, True),
    'heavy_ball_covariance': lambda h: heavy_ball_covariance(h, 1.0, 1.0, 0.5),
    'ema_variance': lambda h: ema_variance(h, 1.0, 1.0, 0.5),
    'tail_variance': lambda h: tail_variance(h, 1.0, 1.0, 10),
    'proposition_2': lambda h: proposition_2(h, 1.0, 1.0, 4, 0.5),
    'variance_within_cycle': lambda h: [
        variance_within_cycle(h, 1.0, 1.0, 4, 0.5, j) for j in (0, 2)
    ],
    'variance_over_cycle': lambda h: variance_over_cycle(h, 1.0, 1.0, 4, 0.5),
    'averaged_variance': lambda h: averaged_variance(h, 1.0, 1.0, 3, 4, 0.5),
    'worker_spread': lambda h: [worker_spread(h, 1.0, 1.0, w, 0.9, k=4) for w in (1, 4)],
    'memoryless': lambda h: memoryless(h, 1.0, 1.0, 2, 0.5)[:2],
    'process': lambda h: fixed_point(process(h, 1.0, 0.5, k=4), 1.0)[:2],
    'lookahead': lambda h: fixed_point(process(h, 1.0, k=4, buffer_policy='interpolate'), 1.0)[:2],
    'local_sgd': lambda h: fixed_point(local_sgd(h, 1.0, 0.5, k=4, outer_momentum=0.5), 1.0)[:2],
    'staleness': lambda h: fixed_point(staleness(h, 1.0, 2), 1.0)[:2],
    'steps_to_target': lambda h: steps_to_target(1.0, h, target=1e-9, spectrum=jnp.ones(2)),
}
NO_VARIANCE = {
    'convergence',
    'rate_on_spectrum',
    'damping',
} | PYTHON_NUMBERS  # a rate below 0 there


@pytest.mark.parametrize('name', UNSTABLE)
def test_what_has_no_answer_is_infinite_where_it_is_traced(name):
    found = jax.jit(jax.vmap(UNSTABLE[name]))(jnp.asarray([5.0, 1e3, 1e30]))
    for leaf in jax.tree.leaves(found):
        assert np.isinf(leaf).all(), leaf


def test_every_function_of_a_learning_rate_is_asked_there():
    asked = set()
    for module in pkgutil.iter_modules(theory.__path__):
        home = importlib.import_module(f'lbexp.theory.{module.name}')
        for name, function in inspect.getmembers(home, inspect.isfunction):
            if function.__module__ == home.__name__ and not name.startswith('_'):
                asked |= (
                    {name} if 'learning_rate' in inspect.signature(function).parameters else set()
                )
    # The check of an optimizer's numbers answers nothing.
    assert asked - NO_VARIANCE - {'require_optimizer'} <= set(UNSTABLE)
