"""Order of examples: a permutation each epoch, a function of seed and position alone, and a
random-looking one."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lbexp.data.order import order

pytestmark = pytest.mark.quick

compiled = jax.jit(order, static_argnums=2)
rows = jax.jit(jax.vmap(order, (0, 0, None)), static_argnums=2)


def epoch(seed, number, size):
    positions = jnp.arange(size, dtype=jnp.uint32) + np.uint32(number * size)
    return np.asarray(compiled(np.uint32(seed), positions, size))


def many(size, draws, by, length=None):
    """The first `length` places of the order, [draws, length], over seeds or over epochs."""
    number = np.arange(draws, dtype=np.uint32)
    seeds, epochs = (
        (number, number * 0) if by == 'seeds' else (number * 0 + np.uint32(12345), number)
    )
    positions = epochs[:, None] * np.uint32(size) + np.arange(length or size, dtype=np.uint32)
    return np.asarray(rows(seeds, positions, size)).astype(np.int64)


def uniform(values, outcomes):
    """p-value of the hypothesis that `values` are uniform on 0 .. outcomes-1."""
    return stats.chisquare(np.bincount(values.ravel(), minlength=outcomes)).pvalue


@pytest.mark.long
@settings(max_examples=12, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_each_example_comes_once_an_epoch(size, seed, number):
    assert sorted(epoch(seed, number, size)) == list(range(size))


@pytest.mark.parametrize('size', [1, 2, 3, 127, 128, 60000, 65536, 65537])
def test_each_example_comes_once_at_the_edges(size):
    assert (np.sort(epoch(3, 7, size)) == np.arange(size)).all()


@pytest.mark.parametrize('size', [10**7 + 19, 2**31 - 1, 2**31])
def test_large_epochs_repeat_nothing(size):
    positions = np.concatenate([np.arange(200_000), size - 1 - np.arange(200_000)]).astype(
        np.uint32
    )
    found = np.asarray(compiled(np.uint32(1), positions, size))
    assert found.min() >= 0 and found.max() < size
    assert len(np.unique(found)) == len(positions)
    assert abs(found.mean(dtype=float) / size - 0.5) < 4 / math.sqrt(12 * len(positions))


def test_position_alone_decides():
    """The same whether asked one by one, in batches, or straddling epochs; so for any sharding
    too."""
    whole = np.concatenate([epoch(5, e, 37) for e in range(4)])
    one_by_one = [int(compiled(np.uint32(5), np.uint32([p]), 37)[0]) for p in range(0, 148, 11)]
    assert one_by_one == list(whole[::11])
    batches = [
        np.asarray(compiled(np.uint32(5), np.arange(s, s + 10, dtype=np.uint32), 37))
        for s in range(0, 140, 10)
    ]
    assert (np.concatenate(batches) == whole[:140]).all()


def test_devices_change_nothing():
    mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    positions = np.arange(90, 90 + 64, dtype=np.uint32)
    placed = jax.device_put(positions, jax.NamedSharding(mesh, jax.P('data')))
    assert (
        np.asarray(compiled(np.uint32(2), placed, 100))
        == np.asarray(compiled(np.uint32(2), positions, 100))
    ).all()


@pytest.mark.parametrize('by', ['seeds', 'epochs'])
@pytest.mark.parametrize('size', [2, 3, 5, 6])
def test_every_order_of_a_few_examples_is_equally_likely(size, by):
    orders = many(size, 40 * math.factorial(size) + 20_000, by)
    names, counts = np.unique(orders @ size ** np.arange(size), return_counts=True)
    assert len(names) == math.factorial(size)
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize('by', ['seeds', 'epochs'])
@pytest.mark.parametrize('size', [7, 12, 30, 64, 128, 200])
def test_no_example_prefers_a_place_or_a_neighbour(size, by):
    """Each place, and the pair of the first two, is uniform; in a shifted or strided order the pair
    would not be."""
    # A million draws of two places: 4 rounds instead of 8 fail at 128 examples, and pass with a
    # tenth of the draws.
    orders = many(size, 1_000_000, by, length=2)
    assert min(uniform(place, size) for place in orders.T) > 1e-5
    first, step = orders[:, 0], (orders[:, 1] - orders[:, 0]) % size - 1
    assert uniform(first * (size - 1) + step, size * (size - 1)) > 1e-4


@pytest.mark.parametrize('size', [10, 1438, 60000])
@pytest.mark.parametrize('by', ['seeds', 'epochs'])
def test_epochs_and_seeds_are_independent(size, by):
    """Two random permutations agree in Poisson(1) places, whether they follow each other or not."""
    orders = many(size, 200 if size > 10 else 20_000, by, length=size if size < 2000 else 2000)
    expected = orders.shape[1] / size
    for lag in (1, 2, 16):
        agreeing = (orders[lag:] == orders[:-lag]).sum(1).mean()
        assert abs(agreeing - expected) < 5 * math.sqrt(expected / (len(orders) - lag))


def test_the_range_of_sizes():
    for size in (0, 2**31 + 1):
        with pytest.raises(ValueError, match='size'):
            order(np.uint32(0), np.uint32([0]), size)
