"""Sequences in rows: all of them, each whole, in its order, with its own targets."""

import numpy as np
import pytest

from lbexp.data.packing import pack

GENERATOR = np.random.default_rng(0)
SEQUENCES = [GENERATOR.integers(1, 100, GENERATOR.integers(2, 16)).tolist() for _ in range(500)]


def unpacked(packed):
    """The sequences again, from inputs and targets."""
    sequences = []
    for tokens, targets, segments in zip(*packed, strict=True):
        for segment in range(1, segments.max() + 1):
            (places,) = np.nonzero(segments == segment)
            assert np.array_equal(places, np.arange(places[0], places[-1] + 1))
            assert np.array_equal(tokens[places[1:]], targets[places[:-1]])
            sequences.append([*tokens[places].tolist(), int(targets[places[-1]])])
    return sequences


@pytest.mark.parametrize('length', [15, 32, 100])
def test_every_sequence_is_there_once(length):
    packed = pack(SEQUENCES, length)
    assert sorted(unpacked(packed)) == sorted(SEQUENCES)


def test_hardly_anything_is_padding():
    packed = pack(SEQUENCES, 32)
    assert (packed.segments == 0).mean() < 0.03


def test_padding_has_no_token_and_comes_last():
    tokens, targets, segments = pack([[5, 6, 7], [8, 9]], 4)
    assert tokens.tolist() == [[5, 6, 8, 0]]
    assert targets.tolist() == [[6, 7, 9, 0]]
    assert segments.tolist() == [[1, 1, 2, 0]]


@pytest.mark.parametrize('sequence', [[1], [], list(range(6))])
def test_a_sequence_that_no_row_holds_is_refused(sequence):
    with pytest.raises(ValueError, match=r'sequence 1: found \d+ tokens; allowed: 2 \.\. 5'):
        pack([[1, 2], sequence], 4)
