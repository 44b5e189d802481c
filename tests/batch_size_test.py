"""Rules of the batch size against closed forms, and a growing batch against simulated data
positions."""

from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbexp.batch_size import adam_scaling, batch_growth, batch_scaling, regime_adaptation
from lbexp.config.fields import BY_NAME


def close(value, expected, rtol=2e-6):
    np.testing.assert_allclose(value, expected, rtol=rtol, atol=1e-7)


def test_adam_scaling():
    """The averages keep their time constants in examples; beyond a batch of that length they are
    gone."""
    b1, b2, eps = adam_scaling(256, 64, 0.9, 0.999, 1e-8)
    close(b1, 0.6)
    close(b2, 0.996)
    close(eps, 0.5e-8)
    assert adam_scaling(64 * 20, 64, 0.9, 0.999, 1e-8)[0] == 0
    close(batch_scaling('square_root_adam', 256, 64), 2.0)
    rules, _ = get_args(BY_NAME['batch_scaling.rule'].annotation)
    for rule in get_args(rules):
        batch_scaling(rule, 2, 1)


def test_batch_scaling():
    assert batch_scaling(None, 512, None) == 1.0
    assert batch_scaling('linear', 512, 128) == 4.0
    close(batch_scaling('square_root', 512, 128), 2.0)
    close(jax.vmap(lambda b: batch_scaling('square_root', b, 4))(jnp.array([4, 16])), [1.0, 2.0])
    with pytest.raises(ValueError, match="'sqrt'; allowed"):
        batch_scaling('sqrt', 1, 1)
    with pytest.raises(ValueError, match='reference: found None'):
        batch_scaling('linear', 1, None)


def test_regime_adaptation_keeps_the_number_of_updates():
    for batch_size in (128, 256, 4096):
        epochs = regime_adaptation(90.0, batch_size, 128)
        assert epochs * 51200 / batch_size == 90 * 51200 / 128


def simulate(batch_size, boundaries, factor, microbatch, largest, updates):
    """Update by update: (microbatches, position before, rate factor) from the phase that the
    position is in."""
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
    growth = batch_growth(batch_size, boundaries, factor, microbatch, largest)
    expected = simulate(batch_size, boundaries, factor, microbatch, largest, 100)
    counts = jnp.arange(100)
    np.testing.assert_array_equal(jax.vmap(growth.accumulation)(counts), expected[0])
    np.testing.assert_array_equal(jax.vmap(growth.position)(counts), expected[1])
    close(jax.vmap(growth.rate_factor)(counts), expected[2], 1e-6)


def test_batch_growth_keeps_the_noise_scale_of_the_decaying_rate():
    """rate / batch size falls by the factor at each boundary: the batch grows or, at its largest,
    the rate falls."""
    growth = batch_growth(10, (100, 200, 300), 5.0, largest=250)
    counts = [int(c) for c in range(40)]
    scale = {float(growth.rate_factor(c) / growth.accumulation(c)) for c in counts}
    close(sorted(scale, reverse=True), [0.1 / 5.0**i for i in range(len(scale))])
    assert len(scale) == 4


def test_batch_growth_is_exact_far_into_a_run():
    growth = batch_growth(256, (2**31,), 4.0, 64)
    first = 2**31 // 256
    assert int(growth.position(first - 1)) == 2**31 - 256
    assert int(growth.position(first + 1000)) == 2**31 + 1024 * 1000
    assert int(growth.accumulation(first)) == 16


def test_batch_growth_may_be_traced():
    def position(batch_size, boundary):
        return batch_growth(batch_size, (boundary,), 2.0, 4).position(20)

    found = jax.vmap(position)(jnp.array([8, 16]), jnp.array([40, 80]))
    assert found.tolist() == [40 + 15 * 16, 80 + 15 * 32]
