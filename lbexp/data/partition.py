"""Which examples each host of a job reads: its slice of one order, or an order of its own."""

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.data.source import Source


def partition(source: Source, mode: str, hosts: int, microbatch: int) -> Source:
    """`source` as the hosts of a job read it; each gives consecutive examples of every microbatch.

    'shuffle_then_shard': one order for all, of which a host reads its slice: each example comes
    exactly once an epoch, and the batches are the same for any number of hosts. 'independent': host
    h goes through the whole set in the order of (seed, h). An example then misses an epoch of N
    draws with probability (1 - 1/H)^H, so a share 1 - (1 - 1/H)^H of the set is in it, 1 - 1/e for
    many hosts: another gradient noise, not only another order.

    Both are functions of the position in the stream: any number of processes gives the batches of H
    hosts.

    Args:
        hosts: H, >= 1; must divide the microbatch. One host's independent order is that of (seed,
            0).
        microbatch: examples that all hosts read together.

    Raises:
        ValueError: the hosts do not divide the microbatch, or each should read a stream of its own.
    """
    if mode == 'shuffle_then_shard':
        return source
    if microbatch % hosts:
        raise ValueError(
            f'data.hosts: found {hosts} with {microbatch} examples a microbatch; allowed: a divisor'
        )
    if source.feed is not None:
        raise ValueError(
            "data.partition: found 'independent' with a stream; allowed: 'shuffle_then_shard'"
        )

    def draw(arrays, seed, positions):
        # A microbatch is one turn of the hosts, each with a share of it.
        share_size = np.uint32(microbatch // hosts)
        host = positions // share_size % np.uint32(hosts)
        turn = positions // np.uint32(microbatch)

        def seed_of(host):
            key = jax.random.fold_in(jax.random.key(seed), host)
            return jax.random.bits(key, dtype=jnp.uint32)

        def example(seed, position):
            return source.draw(arrays, seed, position[None])

        seeds = jax.vmap(seed_of)(jnp.arange(hosts))[host]
        own_positions = turn * share_size + positions % share_size
        drawn = jax.vmap(example)(seeds, own_positions)
        return jax.tree.map(lambda values: values[:, 0], drawn)

    return source._replace(draw=draw)


def distinct(source: Source, seed: int, epochs: int = 1) -> float:
    """Share of the set's examples that are among the draws of an epoch: measured, the mean over the
    first epochs."""
    if source.feed is not None:
        return 1.0
    indices = {'index': np.arange(source.size, dtype=np.int32)}

    @jax.jit
    def draw(positions):
        return source.draw(indices, jnp.uint32(seed), positions)['index']

    shares = []
    for epoch in range(epochs):
        start = epoch * source.size
        positions = np.arange(start, start + source.size, dtype=np.uint32)
        drawn = np.unique(draw(positions))
        shares.append(len(drawn) / source.size)
    return float(np.mean(shares))
