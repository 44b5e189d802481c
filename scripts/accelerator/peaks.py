"""What the machine can do at most: a copy, matrix products, a launch, a call."""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from accelerator.record import Record

_ITERATIONS = 1000


def measure(record: Record, quick: bool, deadline: float) -> None:
    elements = 2**22 if quick else 2**28
    with record.trying('copy'):
        record.add('copy', copied(4 * elements) / 1e9, 'GB/s', 'bytes read and written, x -> -x')
    side = 512 if quick else 8192
    kinds = {
        'matmul float32': (jnp.float32, 'default'),
        'matmul bfloat16': (jnp.bfloat16, 'default'),
        'matmul float32 highest': (jnp.float32, 'highest'),
    }
    for name, (dtype, precision) in kinds.items():
        with record.trying(name):
            record.add(name, _matmul(side, dtype, precision) / 1e12, 'TFLOP/s', f'side {side}')
    with record.trying('kernel in a loop'):
        looped = jax.jit(
            lambda x: jax.lax.fori_loop(0, _ITERATIONS, lambda _, x: jnp.sin(x @ x), x)
        )
        seconds = timed(looped, jnp.ones((8, 8)) / 8, calls=3)
        # A product and a sine: two kernels at most, of which none has anything to do.
        record.add('kernel in a loop', 1e6 * seconds / _ITERATIONS / 2, 'us')
    with record.trying('call'):
        seconds = timed(jax.jit(lambda x: x + 1), jnp.ones(8), calls=1000)
        record.add('call', 1e6 * seconds, 'us', 'a jitted function from Python, not waited for')


def copied(size: int) -> float:
    """Bytes a second, read and written, of a copy in place of an array of `size` bytes."""
    negative = jax.jit(lambda x: -x, donate_argnums=0)
    return 2 * size / chained(negative, jnp.ones(size // 4, jnp.float32), calls=10)


def timed(function: Callable, argument: jax.Array, calls: int, rounds: int = 5) -> float:
    """Median seconds of a call among `calls` that are waited for together."""
    jax.block_until_ready(function(argument))
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        results = [function(argument) for _ in range(calls)]
        jax.block_until_ready(results)
        seconds.append((time.perf_counter() - began) / calls)
    return statistics.median(seconds)


def chained(function: Callable, argument: jax.Array, calls: int, rounds: int = 5) -> float:
    """As `timed`, each call given what the one before returned."""
    argument = jax.block_until_ready(function(argument))
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(calls):
            argument = function(argument)
        jax.block_until_ready(argument)
        seconds.append((time.perf_counter() - began) / calls)
    return statistics.median(seconds)


def _matmul(side, dtype, precision):
    """FLOP/s of a product of two square matrices of random numbers: zeros would draw less power."""
    matrix = jax.random.normal(jax.random.key(0), (side, side), dtype)
    product = jax.jit(lambda x: jnp.matmul(x, x, precision=precision))
    return 2 * side**3 / timed(product, matrix, calls=5)
