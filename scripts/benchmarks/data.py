"""Where batches come from: the order of examples, batches drawn on the device, streams from the
disk."""

import argparse
import os
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from lbexp.data.load import load
from lbexp.data.order import order
from lbexp.data.records import records
from lbexp.data.source import memory
from lbexp.data.stream import stream


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--data', default='fashion_mnist')
    options.add_argument('--batch_size', type=int, default=512)
    options.add_argument('--rounds', type=int, default=7)
    options = options.parse_args(argv)
    print(
        f'{platform.machine()}, {os.cpu_count()} cores, jax {jax.__version__} on '
        f'{jax.devices()[0].device_kind}'
    )
    examples, count = load(options.data, 'train'), options.batch_size
    size = len(examples['label'])
    measured = {
        **_orders(size, count),
        **_batches(examples, size, count),
        **_streams(options.data, count),
    }
    times = {name: [] for name in measured}
    # one after the other in each round, so that other load on the machine hits all
    for _ in range(options.rounds):
        for name, (work, _) in measured.items():
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    rates = {name: measured[name][1] / statistics.median(taken) for name, taken in times.items()}
    for kind in ('order', 'batches', 'disk'):
        mine, *others = [name for name in rates if name.startswith(kind)]
        print(f'{mine}: {rates[mine]:,.0f} examples/s')
        for other in others:
            print(
                f'{other}: {rates[other]:,.0f} examples/s; ratio {rates[mine] / rates[other]:.2f}'
            )


def _orders(size, count):
    """An epoch's order in one go; and batch after batch inside a compiled loop, as training asks
    for it."""
    whole = jax.jit(lambda seed: order(seed, jnp.arange(size, dtype=jnp.uint32), size))
    permutation = jax.jit(lambda seed: jax.random.permutation(jax.random.key(seed), size))
    return {
        'order, whole epoch': (_ready(whole), size),
        'order, jax.random.permutation': (_ready(permutation), size),
        'order, numpy permutation': (lambda: np.random.default_rng(0).permutation(size), size),
    }


def _last(images):
    """One number of a whole batch: what is measured is that the batch is there."""
    return jax.lax.optimization_barrier(images).ravel()[-1].astype(jnp.float32)


def _batches(examples, size, count):
    """An epoch of image batches on the device: drawn in one compiled program, or given by the host
    one by one."""
    source, steps = memory(examples), size // count
    arrays = jax.device_put(source.arrays)
    add = jax.jit(lambda so_far, images: so_far + _last(images))

    @jax.jit
    def drawn(arrays, seed):
        def draw(step, so_far):
            start = jnp.uint32(count) * step.astype(jnp.uint32)
            positions = start + jnp.arange(count, dtype=jnp.uint32)
            return so_far + _last(source.draw(arrays, seed, positions)['image'])

        return jax.lax.fori_loop(0, steps, draw, jnp.float32(0))

    @jax.jit
    def permuted(arrays, seed):
        chosen = jax.random.permutation(jax.random.key(seed), size)

        def draw(step, so_far):
            rows = jax.lax.dynamic_slice_in_dim(chosen, step * count, count)
            return so_far + _last(arrays['image'][rows])

        return jax.lax.fori_loop(0, steps, draw, jnp.float32(0))

    def host():
        chosen, so_far = np.random.default_rng(0).permutation(size), jnp.float32(0)
        for step in range(steps):
            so_far = add(so_far, examples['image'][chosen[step * count : (step + 1) * count]])
        jax.block_until_ready(so_far)

    host()
    return {
        'batches, drawn in the program': (_ready(lambda seed: drawn(arrays, seed)), steps * count),
        'batches, jax.random.permutation in the program': (
            _ready(lambda seed: permuted(arrays, seed)),
            steps * count,
        ),
        'batches, from NumPy on the host': (host, steps * count),
    }


def _streams(name, count, stretches=4):
    examples = records(name, 'train')
    indices = np.random.default_rng(0).permutation(len(examples))[: stretches * count].tolist()

    def streamed():
        source = stream(examples)
        for number in range(stretches):
            source.feed(0, number * count, count)

    return {
        'disk, streamed': (streamed, stretches * count),
        'disk, one by one': (lambda: [examples[i] for i in indices], stretches * count),
    }


def _ready(program):
    jax.block_until_ready(program(np.uint32(0)))
    return lambda: jax.block_until_ready(program(np.uint32(1)))
