"""What is measured between two rows is what was pushed since the last one, one value after
another, to the bit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp import moments
from lbexp.probes import _window

BATCHES = 6


def pushed(values):
    series = moments.batch_means(jnp.zeros(2), BATCHES)
    for value in values:
        series = moments.push(series, value)
    return series


def values_of(count):
    return np.random.default_rng(0).normal(size=(count, 2)).astype(np.float32)


@functools.cache
def compiled():
    return jax.jit(_window.add)


@pytest.mark.parametrize('every', [1, 3])
@pytest.mark.parametrize('rows', [(5,), (31, 32), (32, 64), (33, 170), (1, 2, 3, 100)])
def test_a_row_has_every_value_since_the_last_one(rows, every):
    values = values_of(rows[-1])
    state, since = _window.window(jnp.zeros(2), BATCHES), []
    for update, value in enumerate(values, start=1):
        due, is_row = update % every == 0, update in rows
        since += [value] if due else []
        # what is not due is not looked at
        state = compiled()(state, due, value if due else np.full(2, np.nan, np.float32), is_row)
        if is_row:
            expected = pushed(since)
            assert int(state.series.count) == len(since) and int(state.count) == 0
            assert int(state.series.length) == int(expected.length)
            np.testing.assert_allclose(state.series.means, expected.means, rtol=2e-6, atol=1e-7)
            since = []


def test_a_row_without_a_value_is_empty():
    state = _window.window(jnp.zeros(2), BATCHES)
    for update in range(1, 7):
        state = compiled()(state, update <= 3, np.ones(2, np.float32), update in (4, 6))
        if update == 4:
            assert int(state.series.count) == 3
    assert int(state.series.count) == 0
    assert np.isnan(_window.mean(state.series)).all()


def test_what_is_not_due_is_not_computed():
    computed = []

    def value():
        jax.debug.callback(lambda: computed.append(1))
        return {'x': jnp.ones(3)}

    for due in (False, True, False):
        found = jax.jit(lambda due: _window.computed(due, value))(due)
        np.testing.assert_array_equal(found['x'], np.full(3, float(due)))
    jax.effects_barrier()
    assert len(computed) == 1
