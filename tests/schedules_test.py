"""Schedules against closed forms, optax, and simulated data positions."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbexp import schedules
from lbexp.config import SCALINGS, lookup

SHAPES = ('constant', 'cosine', 'one_cycle', 'polynomial', 'step', 'trapezoid')
COUNTS = jnp.arange(121)


def rates(name, counts=COUNTS, **arguments):
    return np.asarray(jax.vmap(getattr(schedules, name)(**arguments))(counts))


def close(value, expected, rtol=2e-6):
    np.testing.assert_allclose(value, expected, rtol=rtol, atol=1e-7)


def test_the_shapes_are_all_that_have_a_peak():
    names = lookup.names('lbexp.schedules')
    with_peak = [n for n in names if 'peak' in inspect.signature(getattr(schedules, n)).parameters]
    assert tuple(with_peak) == SHAPES


@pytest.mark.parametrize('name', SHAPES)
def test_warmup_is_the_same_line_in_every_shape(name):
    if name == 'one_cycle':
        found = rates(name, peak=2.0, steps=100, warmup=0.2, warmup_from=0.25, anneal='linear')
    else:
        found = rates(name, peak=2.0, steps=100, warmup=0.2, warmup_from=0.25)
    close(found[:20], 2.0 * (0.25 + 0.75 * np.arange(20) / 20))
    close(found[20], 2.0)


@pytest.mark.parametrize('name', [n for n in SHAPES if n != 'one_cycle'])
def test_no_warmup_starts_at_the_peak(name):
    close(rates(name, peak=0.3, steps=100)[0], 0.3)


@pytest.mark.parametrize('name', SHAPES)
def test_the_last_rate_is_kept(name):
    found = rates(name, peak=1.0, steps=100, warmup=0.1)
    close(found[100:], np.full(21, found[100]))


def test_cosine_equals_optax():
    for warmup, end in ((0, 0.0), (10, 0.1)):
        expected = optax.warmup_cosine_decay_schedule(0.0, 0.3, warmup, 100, 0.3 * end)
        close(rates('cosine', peak=0.3, steps=100, warmup=warmup / 100, end=end), jax.vmap(expected)(COUNTS), 1e-5)


def test_polynomial_equals_optax_after_warmup():
    decay = optax.polynomial_schedule(0.3, 0.03, 2.5, 80)
    expected = jax.vmap(optax.join_schedules([optax.linear_schedule(0.0, 0.3, 20), decay], [20]))(COUNTS)
    close(rates('polynomial', peak=0.3, steps=100, warmup=0.2, power=2.5, end=0.1), expected, 1e-5)


def test_one_cycle_equals_optax():
    expected = jax.vmap(optax.cosine_onecycle_schedule(100, 0.3, 0.25, 20.0, 500.0))(COUNTS)
    found = rates('one_cycle', peak=0.3, steps=100, warmup=0.25, warmup_from=1 / 20, end=1 / 10_000)
    close(found, expected, 1e-5)


def test_one_cycle_linear_is_two_lines():
    found = rates('one_cycle', peak=1.0, steps=100, warmup=0.5, warmup_from=0.1, end=0.0, anneal='linear')
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
    numbers = {'peak': 0.3, 'steps': 50.0, 'warmup': 0.1, 'warmup_from': 0.2}
    for argument, parameter in inspect.signature(function).parameters.items():
        if isinstance(parameter.default, float):
            numbers.setdefault(argument, parameter.default or 0.1)
    evaluate = lambda values: jax.vmap(function(**values))(jnp.arange(60))
    for argument, value in numbers.items():
        values = jnp.asarray([value, 0.9 * value, 0.5 * value], jnp.float32)
        traced = jax.jit(jax.vmap(lambda x, a=argument: evaluate({**numbers, a: x})))(values)
        looped = jnp.stack([evaluate({**numbers, argument: float(x)}) for x in values])
        close(traced, looped, 1e-5)


@pytest.mark.parametrize('name', SHAPES)
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


def test_adam_scaling():
    """The averages keep their time constants in examples; beyond a batch of that length they are gone."""
    b1, b2, eps = schedules.adam_scaling(256, 64, 0.9, 0.999, 1e-8)
    close(b1, 0.6)
    close(b2, 0.996)
    close(eps, 0.5e-8)
    assert schedules.adam_scaling(64 * 20, 64, 0.9, 0.999, 1e-8)[0] == 0
    close(schedules.batch_scaling('square_root_adam', 256, 64), 2.0)
    for rule in SCALINGS:
        schedules.batch_scaling(rule, 2, 1)


def test_batch_scaling():
    assert schedules.batch_scaling(None, 512, None) == 1.0
    assert schedules.batch_scaling('linear', 512, 128) == 4.0
    close(schedules.batch_scaling('square_root', 512, 128), 2.0)
    close(jax.vmap(lambda b: schedules.batch_scaling('square_root', b, 4))(jnp.array([4, 16])), [1.0, 2.0])
    with pytest.raises(ValueError, match="'sqrt'; allowed"):
        schedules.batch_scaling('sqrt', 1, 1)
    with pytest.raises(ValueError, match='reference is None'):
        schedules.batch_scaling('linear', 1, None)


def test_regime_adaptation_keeps_the_number_of_updates():
    for batch_size in (128, 256, 4096):
        epochs = schedules.regime_adaptation(90.0, batch_size, 128)
        assert epochs * 51200 / batch_size == 90 * 51200 / 128


def simulate(batch_size, boundaries, factor, microbatch, largest, updates):
    """Update by update: (microbatches, position before, rate factor) from the phase that the position is in."""
    position, rows = 0, []
    for _ in range(updates):
        phase = sum(position >= b for b in boundaries)
        wanted = batch_size * factor**phase
        size = wanted if largest is None else min(wanted, largest)
        microbatches = max(round(size / microbatch), 1)
        rows.append((microbatches, position, size / wanted))
        position += microbatches * microbatch
    return np.array(rows).T


@settings(max_examples=20, deadline=None)
@given(
    microbatch=st.integers(1, 8),
    accumulation=st.integers(1, 5),
    gaps=st.lists(st.integers(0, 300), max_size=4),
    factor=st.sampled_from([1.0, 2.0, 5.0]),
    largest=st.sampled_from([None, 64]),
)
def test_batch_growth_equals_its_simulation(microbatch, accumulation, gaps, factor, largest):
    boundaries = tuple(int(b) for b in np.cumsum(gaps))
    batch_size = microbatch * accumulation
    growth = schedules.batch_growth(batch_size, boundaries, factor, microbatch, largest)
    expected = simulate(batch_size, boundaries, factor, microbatch, largest, 100)
    counts = jnp.arange(100)
    np.testing.assert_array_equal(jax.vmap(growth.accumulation)(counts), expected[0])
    np.testing.assert_array_equal(jax.vmap(growth.position)(counts), expected[1])
    close(jax.vmap(growth.rate_factor)(counts), expected[2], 1e-6)


def test_batch_growth_keeps_the_noise_scale_of_the_decaying_rate():
    """rate / batch size falls by the factor at each boundary: the batch grows or, at its largest, the rate falls."""
    growth = schedules.batch_growth(10, (100, 200, 300), 5.0, largest=250)
    counts = [int(c) for c in range(40)]
    scale = {float(growth.rate_factor(c) / growth.accumulation(c)) for c in counts}
    close(sorted(scale, reverse=True), [0.1 / 5.0**i for i in range(len(scale))])
    assert len(scale) == 4


def test_batch_growth_is_exact_far_into_a_run():
    growth = schedules.batch_growth(256, (2**31,), 4.0, 64)
    first = 2**31 // 256
    assert int(growth.position(first - 1)) == 2**31 - 256
    assert int(growth.position(first + 1000)) == 2**31 + 1024 * 1000
    assert int(growth.accumulation(first)) == 16


def test_batch_growth_may_be_traced():
    def position(batch_size, boundary):
        return schedules.batch_growth(batch_size, (boundary,), 2.0, 4).position(20)

    found = jax.vmap(position)(jnp.array([8, 16]), jnp.array([40, 80]))
    assert found.tolist() == [40 + 15 * 16, 80 + 15 * 32]
