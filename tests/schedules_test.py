"""Schedules against closed forms and optax."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lbexp import schedules
from lbexp.config import lookup

pytestmark = pytest.mark.quick

SHAPES = ('constant', 'cosine', 'one_cycle', 'polynomial', 'rising', 'step', 'trapezoid')
WARMED = tuple(name for name in SHAPES if name != 'rising')
COUNTS = jnp.arange(121)


def rates(name, counts=COUNTS, **arguments):
    return np.asarray(jax.vmap(getattr(schedules, name)(**arguments))(counts))


def close(value, expected, rtol=2e-6):
    np.testing.assert_allclose(value, expected, rtol=rtol, atol=1e-7)


def test_the_shapes_are_all_that_have_a_peak():
    names = lookup.names('schedule')
    with_peak = [n for n in names if 'peak' in inspect.signature(getattr(schedules, n)).parameters]
    assert tuple(with_peak) == SHAPES


@pytest.mark.parametrize('name', WARMED)
def test_warmup_is_the_same_line_in_every_shape(name):
    if name == 'one_cycle':
        found = rates(name, peak=2.0, steps=100, warmup=0.2, warmup_from=0.25, anneal='linear')
    else:
        found = rates(name, peak=2.0, steps=100, warmup=0.2, warmup_from=0.25)
    close(found[:20], 2.0 * (0.25 + 0.75 * np.arange(20) / 20))
    close(found[20], 2.0)


@pytest.mark.parametrize('name', [n for n in WARMED if n != 'one_cycle'])
def test_no_warmup_starts_at_the_peak(name):
    close(rates(name, peak=0.3, steps=100)[0], 0.3)


@pytest.mark.parametrize('name', WARMED)
def test_the_last_rate_is_kept(name):
    found = rates(name, peak=1.0, steps=100, warmup=0.1)
    close(found[100:], np.full(21, found[100]))


def test_cosine_equals_optax():
    for warmup, end in ((0, 0.0), (10, 0.1)):
        expected = optax.warmup_cosine_decay_schedule(0.0, 0.3, warmup, 100, 0.3 * end)
        close(
            rates('cosine', peak=0.3, steps=100, warmup=warmup / 100, end=end),
            jax.vmap(expected)(COUNTS),
            1e-5,
        )


def test_rising_is_a_line_in_the_logarithm_or_in_the_rate():
    share = np.minimum(np.arange(121) / 100, 1)
    close(rates('rising', peak=3.0, steps=100, start=1e-4), 3.0 * 10 ** (-4 * (1 - share)), 1e-5)
    found = rates('rising', peak=3.0, steps=100, start=0.1, scale='linear')
    close(found, 0.3 + 2.7 * share)


def test_polynomial_equals_optax_after_warmup():
    decay = optax.polynomial_schedule(0.3, 0.03, 2.5, 80)
    expected = jax.vmap(optax.join_schedules([optax.linear_schedule(0.0, 0.3, 20), decay], [20]))(
        COUNTS
    )
    close(rates('polynomial', peak=0.3, steps=100, warmup=0.2, power=2.5, end=0.1), expected, 1e-5)


def test_one_cycle_equals_optax():
    expected = jax.vmap(optax.cosine_onecycle_schedule(100, 0.3, 0.25, 20.0, 500.0))(COUNTS)
    found = rates('one_cycle', peak=0.3, steps=100, warmup=0.25, warmup_from=1 / 20, end=1 / 10_000)
    close(found, expected, 1e-5)


def test_one_cycle_linear_is_two_lines():
    found = rates(
        'one_cycle', peak=1.0, steps=100, warmup=0.5, warmup_from=0.1, end=0.0, anneal='linear'
    )
    close(found[:101], np.concatenate([0.1 + 0.9 * np.arange(50) / 50, 1 - np.arange(51) / 50]))
    with pytest.raises(ValueError, match="'linera'; allowed"):
        schedules.one_cycle(1.0, 100, anneal='linera')


def test_step_drops_at_whole_updates():
    """Thirds of 90 epochs fall on an update although 1/3 is no float: 30, 60, 80 of 90."""
    for steps in (90, 9000):
        found = rates('step', counts=jnp.arange(steps + 1), peak=1.0, steps=steps)
        drops = np.flatnonzero(np.diff(found)) + 1
        assert drops.tolist() == [steps // 3, 2 * steps // 3, 8 * steps // 9]
        close(found[drops], [0.1, 0.01, 0.001])


def test_trapezoid_is_three_lines():
    found = rates('trapezoid', peak=1.0, steps=100, warmup=0.1, cooldown=0.25, end=0.2)
    close(found[10:76], np.ones(66))
    close(found[75:101], 1 - 0.8 * np.arange(26) / 25)


@pytest.mark.parametrize('name', SHAPES)
def test_every_number_may_be_traced(name):
    """vmap over each numeric argument equals the loop over it."""
    function = getattr(schedules, name)
    numbers = {'peak': 0.3, 'steps': 50.0}
    if name in WARMED:
        numbers |= {'warmup': 0.1, 'warmup_from': 0.2}
    for argument, parameter in inspect.signature(function).parameters.items():
        if isinstance(parameter.default, float):
            numbers.setdefault(argument, parameter.default or 0.1)

    def evaluate(values):
        return jax.vmap(function(**values))(jnp.arange(60))

    for argument, value in numbers.items():
        values = jnp.asarray([value, 0.9 * value, 0.5 * value], jnp.float32)
        traced = jax.jit(jax.vmap(lambda x, a=argument: evaluate({**numbers, a: x})))(values)
        looped = jnp.stack([evaluate({**numbers, argument: float(x)}) for x in values])
        close(traced, looped, 1e-5)


@pytest.mark.parametrize('name', WARMED)
def test_low_precision_peaks_do_not_round_the_schedule(name):
    found = getattr(schedules, name)(jnp.bfloat16(0.25), 1000, warmup=0.5)(jnp.int32(251))
    assert found.dtype == jnp.float32
    if name != 'one_cycle':
        close(found, 0.25 * 251 / 500)


def test_schedules_keep_float64():
    with jax.enable_x64(True):
        found = schedules.cosine(0.1, 300)(jnp.asarray(77))
        assert found.dtype == jnp.float64
        np.testing.assert_allclose(found, 0.05 * (1 + math.cos(math.pi * 77 / 300)), rtol=1e-14)


def test_a_schedule_drives_an_optimizer_under_jit():
    optimizer = optax.sgd(schedules.polynomial(1.0, 4, power=1.0))
    state = optimizer.init(jnp.ones(()))
    steps = []
    for _ in range(5):
        update, state = jax.jit(optimizer.update)(jnp.ones(()), state)
        steps.append(-float(update))
    close(steps, [1, 0.75, 0.5, 0.25, 0])
