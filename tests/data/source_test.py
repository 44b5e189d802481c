"""Sources in memory: training order, stored order, one length."""

import jax
import numpy as np
import pytest

from lbexp.data.source import memory

pytestmark = pytest.mark.quick

EXAMPLES = {
    'x': np.arange(24, dtype=np.float32).reshape(12, 2),
    'label': np.arange(12, dtype=np.int32),
}


def test_examples_stay_together():
    source = memory(EXAMPLES)
    assert source.size == 12 and source.feed is None
    drawn = jax.jit(source.draw)(source.arrays, np.uint32(3), np.arange(12, dtype=np.uint32))
    assert sorted(np.asarray(drawn['label'])) == list(range(12))
    assert list(np.asarray(drawn['label'])) != list(range(12))
    assert (np.asarray(drawn['x']) == EXAMPLES['x'][np.asarray(drawn['label'])]).all()
    assert drawn['x'].dtype == np.float32 and drawn['label'].dtype == np.int32


def test_batches_straddle_epochs_and_drop_nothing():
    source = memory(EXAMPLES)
    draw = jax.jit(source.draw)
    batches = np.arange(60, dtype=np.uint32).reshape(12, 5)
    labels = [draw(source.arrays, np.uint32(1), batch)['label'] for batch in batches]
    seen = np.concatenate(labels).reshape(5, 12)  # 12 batches of 5 are 5 epochs of 12
    assert (np.sort(seen, axis=1) == np.arange(12)).all()
    assert len({tuple(epoch) for epoch in seen}) == 5


def test_stored_order_is_as_given():
    source = memory(EXAMPLES)
    read = jax.jit(source.read)(source.arrays, np.array([0, 11, 4]))
    assert list(read['label']) == [0, 11, 4]
    assert np.asarray(read['x']).tolist() == [[0, 1], [22, 23], [8, 9]]


def test_the_seed_is_a_number_of_the_trial():
    """One program draws for many seeds at once, each as if it were alone."""
    source = memory(EXAMPLES)
    positions = np.arange(7, 19, dtype=np.uint32)
    seeds = np.arange(6, dtype=np.uint32)
    draw = jax.jit(source.draw)
    together = jax.jit(jax.vmap(source.draw, (None, 0, None)))(source.arrays, seeds, positions)[
        'label'
    ]
    for seed, labels in zip(seeds, together, strict=True):
        assert (labels == draw(source.arrays, seed, positions)['label']).all()
    assert len({tuple(np.asarray(labels)) for labels in together}) == 6


def test_arrays_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match='one length'):
        memory({'x': np.zeros(3), 'y': np.zeros(4)})
    with pytest.raises(ValueError, match='examples'):
        memory({})
    with pytest.raises(ValueError, match='size'):
        memory({'x': np.zeros((0, 2))})
