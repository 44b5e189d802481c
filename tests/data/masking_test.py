"""Tokens that are hidden while they are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.data.masking import hiding, masked
from lbexp.data.source import memory

SPECIAL, MASK, VOCABULARY, LENGTH = 5, 4, 1005, 20
HOW = hiding(0.15, LENGTH, VOCABULARY, SPECIAL, MASK)
SIZE = 400
COUNTS = np.random.default_rng(1).integers(0, LENGTH - 3, SIZE)


def stored():
    """Rows [CLS] pieces [SEP], padded; of 0 .. 16 pieces."""
    pieces = np.random.default_rng(0).integers(SPECIAL, VOCABULARY, (SIZE, LENGTH))
    place = np.arange(LENGTH)[None]
    tokens = np.where(place <= COUNTS[:, None], pieces, 0)
    tokens[:, 0] = 2
    tokens[np.arange(SIZE), COUNTS + 1] = 3
    return {'tokens': tokens.astype(np.int32), 'segments': (tokens > 0).astype(np.int32)}


SOURCE = masked(memory(stored()), HOW)


def drawn(positions, seed=3):
    positions = jnp.asarray(positions, jnp.uint32)
    return jax.tree.map(np.asarray, SOURCE.draw(SOURCE.arrays, jnp.uint32(seed), positions))


def read(places):
    return jax.tree.map(np.asarray, SOURCE.read(SOURCE.arrays, jnp.asarray(places)))


def test_fifteen_of_a_hundred_rounded_up():
    for count, expected in [(0, 0), (1, 1), (6, 1), (7, 2), (20, 3)]:
        assert HOW.counts[count] == expected


def test_that_many_pieces_are_hidden_and_no_marks():
    examples, whole = read(range(SIZE)), stored()['tokens']
    hidden = examples['hidden'] > 0
    assert hidden.sum(1).tolist() == [HOW.counts[count] for count in COUNTS]
    at_places = np.take_along_axis(whole, examples['places'], axis=1)
    assert (at_places[hidden] >= SPECIAL).all()
    np.testing.assert_array_equal(examples['targets'], at_places)
    # places are different, and nothing else has changed
    is_hidden = np.zeros(whole.shape, int)
    np.add.at(is_hidden, (np.nonzero(hidden)[0], examples['places'][hidden]), 1)
    assert is_hidden.max() == 1
    np.testing.assert_array_equal(examples['tokens'][is_hidden == 0], whole[is_hidden == 0])


def test_eight_in_ten_behind_the_mask_one_as_any_token_one_as_it_is():
    examples = drawn(range(10 * SIZE))
    hidden = examples['hidden'] > 0
    shown = np.take_along_axis(examples['tokens'], examples['places'], axis=1)[hidden]
    targets = examples['targets'][hidden]
    assert (shown[shown != MASK] >= SPECIAL).all()
    shares = {0.8: shown == MASK, 0.1: shown == targets}
    for expected, of_hidden in shares.items():
        error = np.sqrt(expected * (1 - expected) / len(shown))
        # any token is the token itself once in a thousand
        assert abs(of_hidden.mean() - expected) < 4 * error + 2e-4
    others = shown[(shown != MASK) & (shown != targets)]
    middle = (SPECIAL + VOCABULARY - 1) / 2
    deviation = (VOCABULARY - SPECIAL) / np.sqrt(12)
    assert abs(others.mean() - middle) < 4 * deviation / np.sqrt(len(others))


def test_each_piece_is_as_likely_as_another():
    row = np.array([[2, *range(5, 15), 3]], np.int32)
    how = hiding(0.15, 12, VOCABULARY, SPECIAL, MASK)
    source = masked(memory({'tokens': row, 'segments': np.ones_like(row)}), how)
    positions = jnp.arange(4000, dtype=jnp.uint32)
    places = np.asarray(source.draw(source.arrays, jnp.uint32(0), positions)['places'])
    shares = np.bincount(places.ravel(), minlength=12)[1:11] / 4000
    assert (abs(shares - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 4000)).all()


@pytest.mark.long
def test_what_is_hidden_depends_on_seed_and_position_alone():
    whole = drawn(range(12))
    for positions, place in [([8], 0), ([3, 8, 2], 1)]:
        part = drawn(positions)
        for name, values in whole.items():
            np.testing.assert_array_equal(part[name][place], values[8])
    for other in (drawn(np.arange(12) + SIZE), drawn(range(12), seed=4)):
        assert (other['places'] != whole['places']).any()


def test_evaluation_hides_the_same_by_place():
    backwards = read(np.arange(SIZE)[::-1])
    for name, values in read(range(SIZE)).items():
        np.testing.assert_array_equal(backwards[name][::-1], values)


def test_other_arrays_pass():
    positions = jnp.arange(5, dtype=jnp.uint32)
    numbers = {'index': np.arange(SIZE)}
    assert set(SOURCE.draw(numbers, jnp.uint32(0), positions)) == {'index'}
