"""The order of training examples as a function of seed and position: nothing to store, nothing to
resume."""

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.shapes import Order, Positions, Seed

# Rounds of the Feistel network. With fewer, chi-square tests over a million seeds tell some places
# from others: the tiny halves of small epochs mix slowly (5 examples: 16 rounds suffice, 12 do not;
# 64 examples: 8 do, 6 do not).
_ROUNDS = 8
_ROUNDS_BELOW_128 = 24


def order(seed: Seed, positions: Positions, size: int) -> Order:
    """Which example stands at each position of the endless stream of epochs.

    Position p is offset p mod size of epoch p // size, and the epoch's order is a permutation of 0
    .. size-1 chosen by (seed, epoch): a Feistel network (Luby and Rackoff 1988,
    doi:10.1137/0217022) on pairs (a, b), with rounds a <- a + F(b) and b <- b + F(a) in turn, F a
    hash keyed by seed, epoch and round. What falls outside 0 .. size-1 is encrypted again until it
    falls inside (cycle walking: Black and Rogaway 2002, doi:10.1007/3-540-45760-7_9), so that each
    example comes exactly once an epoch. a and b count to about sqrt(size): hardly any value falls
    outside.

    Args:
        seed: uint32 scalar; may be traced.
        positions: uint32 [n]; they wrap after 2^32 examples.
        size: examples in an epoch, 1 .. 2^31.

    Returns:
        int32 [n], values in 0 .. size-1.
    """
    if not 1 <= size <= 2**31:
        raise ValueError(f'size: found {size}; allowed: 1 .. 2^31 examples in an epoch')
    positions = jnp.asarray(positions, jnp.uint32)
    epoch = positions // np.uint32(size)
    offset = positions % np.uint32(size)
    left = max(int(np.ceil(np.sqrt(size))), 1)
    right = -(-size // left)
    rounds = _ROUNDS
    if size < 128:
        rounds = _ROUNDS_BELOW_128
    streams = [_mix(epoch * np.uint32(rounds) + np.uint32(r)) for r in range(rounds)]
    keys = [_mix(jnp.asarray(seed, jnp.uint32) ^ stream) for stream in streams]

    def encrypt(value):
        a = value // np.uint32(right)
        b = value % np.uint32(right)
        for r, key in enumerate(keys):
            # The halves take turns, so that each keeps its own range.
            if r % 2 == 0:
                a = _shifted(a, _mix(b ^ key), left)
            else:
                b = _shifted(b, _mix(a ^ key), right)
        return a * np.uint32(right) + b

    def outside(value):
        return value >= np.uint32(size)

    def walk(value):
        return jnp.where(outside(value), encrypt(value), value)

    index = jax.lax.while_loop(lambda value: outside(value).any(), walk, encrypt(offset))
    return index.astype(jnp.int32)


def _shifted(half, by, count):
    """(half + by) mod count, without overflow: counts stay below 2^16."""
    return (half + by % np.uint32(count)) % np.uint32(count)


def _mix(x):
    """A bijective hash of 32 bits with good avalanche (multipliers of C. Wellons' lowbias32, exact
    bias 0.17)."""
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    return x ^ (x >> 16)
