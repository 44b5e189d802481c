"""Short sequences packed into rows of one length, so that hardly any position is padding."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lbexp.errors import Refusal
from lbexp.shapes import PackedRows

_OPEN_ROWS = 64  # that a sequence is tried in, beginning with the fullest


class Packed(NamedTuple):
    """Rows of tokens for next-token prediction. n rows, l positions.

    Position t of a row is an input, its token, and a target, the token after it in its sequence.
    A model must look at no other segment than its own: then every loss is that of the sequence
    alone, and packing changes nothing but the time it takes.
    """

    tokens: PackedRows  # int32 [n, l]; 0 on padding
    targets: PackedRows  # int32 [n, l]; 0 on padding
    segments: PackedRows  # int32 [n, l]: 1, 2, ... the sequences of a row; 0: padding


def pack(sequences: Sequence[Sequence[int]], length: int) -> Packed:
    """Rows of `length` positions that hold the sequences, each whole, in one row.

    A sequence of m tokens gives m - 1 positions (inputs 1 .. m - 1, targets 2 .. m). It goes into
    the fullest of the last rows that has room for it, else into a new one (best fit; 3 % of padding
    for titles of 3 to 14 words in rows of 32).

    Args:
        sequences: token ids >= 0, with the marks of beginning and end in them; of 2 tokens or more.
        length: of a row [positions].

    Raises:
        Refusal: a sequence that is too short, or that no row holds.
    """
    rows: list[list[int]] = []  # of each row, the sequences in it
    room = np.zeros(0, int)  # [positions] left in the rows that are open
    is_open = np.zeros(0, int)  # their numbers
    for number, sequence in enumerate(sequences):
        size = len(sequence) - 1
        if not 1 <= size <= length:
            # no ValueError: called by a user's function, that would pass for a bug of the function
            raise Refusal(
                f'sequence {number}: found {len(sequence)} tokens; allowed: 2 .. {length + 1}'
            )
        left = np.where(room >= size, room, length + 1)
        if len(left) and left.min() <= length:
            place = int(left.argmin())
            rows[is_open[place]].append(number)
            room[place] -= size
        else:
            is_open = np.append(is_open, len(rows))[-_OPEN_ROWS:]
            room = np.append(room, length - size)[-_OPEN_ROWS:]
            rows.append([number])
    return _filled(rows, sequences, length)


def _filled(rows, sequences, length):
    shape = (len(rows), length)
    tokens, targets, segments = (np.zeros(shape, np.int32) for _ in range(3))
    for i, members in enumerate(rows):
        first = 0
        for segment, number in enumerate(members, start=1):
            sequence = np.asarray(sequences[number], np.int32)
            last = first + len(sequence) - 1
            tokens[i, first:last] = sequence[:-1]
            targets[i, first:last] = sequence[1:]
            segments[i, first:last] = segment
            first = last
    return Packed(tokens, targets, segments)
