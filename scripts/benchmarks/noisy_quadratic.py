"""Replica-coordinate-steps per second of the noisy quadratic: the compiled loop, NumPy, and
memory's speed limit.

python scripts/benchmark.py noisy_quadratic [--replicas=100000] [--steps=200] [--repeats=5]

Four things are timed in turn, `repeats` times; medians and ratios of the same round are printed:
  compiled   the workload's draw and gradient through an optax optimizer in one lax.fori_loop (noise
  made on the fly)
  quiet      the same without drawing: one array of noise, over and over. What is left is arithmetic
  and memory
  numpy      the same update, vectorised, with NumPy's generator
  copy       the bytes of a float32 state read and written once a step, as one long copy
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lbexp import optimizers
from lbexp.workloads.noisy_quadratic import noisy_quadratic

CASES = {
    'sgd': (lambda: optax.sgd(0.1), 1),
    'momentum': (lambda: optax.sgd(0.1, momentum=0.9), 2),
    'lookahead(sgd)': (lambda: optimizers.lookahead(optax.sgd(0.1), k=5, slow_step_size=0.5), 1),
}


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--replicas', type=int, default=100_000, help='copies of one coordinate')
    parser.add_argument('--steps', type=int, default=200, help='updates per measurement')
    parser.add_argument('--repeats', type=int, default=5, help='rounds; medians are printed')
    given = parser.parse_args(argv)
    print(
        f'{given.replicas} replicas, {given.steps} steps, median of {given.repeats}; '
        f'{jax.devices()[0].device_kind}'
    )
    print(
        f'{"replica-steps/s":15} {"compiled":>12} {"quiet":>12} {"numpy":>12} {"copy":>12}   ratios'
    )
    for name, (optimizer, arrays) in CASES.items():
        rates = _measure(optimizer(), arrays, name, given)
        compiled, quiet, numpy, copy = (np.median([r[i] for r in rates]) for i in range(4))
        over_numpy = np.median([r[0] / r[2] for r in rates])
        to_copy = np.median([r[1] / r[3] for r in rates])
        print(
            f'{name:15} {compiled:12.3g} {quiet:12.3g} {numpy:12.3g} {copy:12.3g}   '
            f'compiled / numpy {over_numpy:.2f}, quiet / copy {to_copy:.2f}'
        )


def _measure(optimizer, arrays, name, given):
    runs = (
        _compiled(optimizer, given.replicas, given.steps, drawing=True),
        _compiled(optimizer, given.replicas, given.steps, drawing=False),
        _numpy(name, given.replicas, given.steps),
        _copy(arrays, given.replicas, given.steps),
    )
    for run in runs:
        run()  # compiles
    work = given.replicas * given.steps
    return [[work / _seconds(run) for run in runs] for _ in range(given.repeats)]


def _compiled(optimizer, replicas, steps, drawing):
    workload = noisy_quadratic(replicas=replicas)
    still = workload.train.draw((), jnp.uint32(0), jnp.zeros(1, jnp.uint32))

    def step(t, carry):
        params, state, still = carry
        examples = (
            workload.train.draw((), jnp.uint32(0), t[None].astype(jnp.uint32)) if drawing else still
        )

        def loss(p):
            return workload.loss(p, {}, examples, None)[0]['loss'].mean()

        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state, still

    params, _ = workload.init(jax.random.key(0))
    carry = params, optimizer.init(params), still
    loop = jax.jit(lambda carry: jax.lax.fori_loop(0, steps, step, carry))
    return lambda: jax.block_until_ready(loop(carry))


def _numpy(name, replicas, steps):
    def run():
        generator = np.random.default_rng(0)
        x = np.ones(replicas, np.float32)
        slow, m = x.copy(), np.zeros_like(x)
        for t in range(1, steps + 1):
            g = x - generator.standard_normal(replicas, np.float32)
            if name == 'momentum':
                m *= 0.9
                m += g
                g = m
            x -= 0.1 * g
            if name.startswith('lookahead') and t % 5 == 0:
                slow += 0.5 * (x - slow)
                x[:] = slow

    return run


def _copy(arrays, replicas, steps):
    """A copy as long as all the states that the loop reads and writes, 32 MiB at a time: larger
    than the caches."""
    size = 8 * 2**20
    source = np.ones(size, np.float32)
    target = np.empty_like(source)

    def run():
        left = arrays * replicas * steps
        while left > 0:
            some = min(left, size)
            np.copyto(target[:some], source[:some])
            left -= some

    return run


def _seconds(run):
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


if __name__ == '__main__':
    main()
