"""Order of examples: a permutation each epoch, a function of seed and position alone, and a random-looking one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lbexp.data.order import order

compiled = jax.jit(order, static_argnums=2)


def epoch(seed, number, size):
    positions = jnp.arange(size, dtype=jnp.uint32) + np.uint32(number * size)
    return np.asarray(compiled(np.uint32(seed), positions, size))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_each_example_comes_once_an_epoch(size, seed, number):
    assert sorted(epoch(seed, number, size)) == list(range(size))


@pytest.mark.parametrize('size', [60000, 65536, 65537])
def test_each_example_comes_once_in_large_epochs(size):
    assert (np.sort(epoch(3, 7, size)) == np.arange(size)).all()


def test_position_alone_decides():
    """The same whether asked one by one, in batches, or straddling epochs; so for any sharding too."""
    whole = np.concatenate([epoch(5, e, 37) for e in range(4)])
    one_by_one = [int(order(np.uint32(5), np.uint32([p]), 37)[0]) for p in range(0, 148, 11)]
    assert one_by_one == list(whole[::11])
    batches = [np.asarray(order(np.uint32(5), np.arange(s, s + 10, dtype=np.uint32), 37)) for s in range(0, 140, 10)]
    assert (np.concatenate(batches) == whole[:140]).all()


def test_no_example_prefers_a_place():
    """Where an example lands is uniform, over seeds and over epochs: chi-square, p > 1e-4 in 2 x 16 tests."""
    size, draws = 16, 4000
    by_seed = np.stack([epoch(seed, 0, 100)[:size] for seed in range(draws)])
    by_epoch = np.stack([epoch(1, number, 100)[:size] for number in range(draws)])
    for places in (by_seed, by_epoch):
        for place in range(size):
            counts = np.bincount(places[:, place], minlength=100)
            assert stats.chisquare(counts).pvalue > 1e-4


def test_neighbours_are_independent():
    """The step from one place to the next is uniform too; in a shifted or strided order it would not be."""
    size, draws = 101, 3000
    orders = np.stack([epoch(seed, 2, size)[:12] for seed in range(draws)]).astype(int)
    steps = ((orders[:, 1:] - orders[:, :-1]) % size).ravel()
    assert stats.chisquare(np.bincount(steps, minlength=size)[1:]).pvalue > 1e-4
    first, second = orders[:, 0], orders[:, 1]
    assert abs(stats.spearmanr(first, second).statistic + 1 / (size - 1)) < 4 / np.sqrt(draws)


def test_epochs_and_seeds_differ():
    a, b, c = epoch(0, 0, 1000), epoch(0, 1, 1000), epoch(1, 0, 1000)
    for x, y in ((a, b), (a, c), (b, c)):
        assert (x == y).mean() < 0.01  # one in a thousand meets by chance


def test_the_range_of_sizes():
    for size in (0, 2**31 + 1):
        with pytest.raises(ValueError, match='size'):
            order(np.uint32(0), np.uint32([0]), size)
