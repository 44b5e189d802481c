"""One trial through the engine against the usual loop, fashion_mlp: updates per second, side by
side.

The usual loop is what most codebases have: one jitted Linen step per batch, called from Python with
NumPy batches. A round measures both, and which goes first alternates; printed are the median of the
rounds' ratios with its 95 % bootstrap interval, and the least and the largest of them.
"""

import argparse
import statistics
import time

import jax
import numpy as np
import optax

from lbexp import analysis
from lbexp import config as configs
from lbexp.engine.environment import environment
from lbexp.engine.plan import plan
from lbexp.engine.program import program


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--batch_sizes', type=int, nargs='+', default=[32, 256, 2048])
    options.add_argument('--rounds', type=int, default=25)
    options.add_argument('--seconds', type=float, default=1.0, help='aimed at for each measurement')
    options.add_argument('--workload', default='fashion_mlp')
    options = options.parse_args(argv)
    facts = environment()
    print(
        ', '.join(
            f'{k} {facts[k]}' for k in ('processor', 'cores', 'backend', 'jax', 'flax', 'optax')
        )
    )
    measurements = []
    for size in options.batch_sizes:
        ways = {
            'engine': _engine(options.workload, size),
            'usual loop': _usual(options.workload, size),
        }
        steps = {name: _calibrated(way, options.seconds) for name, way in ways.items()}
        rates = {name: [] for name in ways}
        for number in range(options.rounds):
            for name in list(ways)[:: -1 if number % 2 else 1]:
                began = time.perf_counter()
                ways[name](steps[name])
                rates[name].append(steps[name] / (time.perf_counter() - began))
        ratios = [a / b for a, b in zip(rates['engine'], rates['usual loop'], strict=True)]
        told = ', '.join(f'{name} {statistics.median(r):.1f}' for name, r in rates.items())
        print(
            f'batch {size}: updates/s {told}; ratio {analysis.format_interval(ratios)}, '
            f'{len(ratios)} rounds from {min(ratios):.2f} to {max(ratios):.2f}',
            flush=True,
        )
        median, low, high = analysis.interval(ratios)
        case = {'case': f'{options.workload}, batch {size}', 'quantity': 'speed / usual loop'}
        measurements.append({**case, 'value': median, 'low': low, 'high': high})
    return measurements


def _calibrated(way, seconds):
    way(4)
    began = time.perf_counter()
    way(8)
    return max(8, int(8 * seconds / (time.perf_counter() - began)))


def _config(workload, size):
    c = configs.base()
    c.workload = dict(name=workload)
    c.optimizer = dict(name='momentum', learning_rate=0.01, momentum=0.9)
    c.batch_size, c.steps = size, 2**31 // size  # positions of examples have 32 bits
    return configs.resolve(c, {})


def _engine(workload, size):
    (cohort,) = plan([_config(workload, size)])
    ready = program(cohort, 'auto', None)
    held = {'states': ready.init(), 'tick': 0}

    def run(steps):
        held['tick'] += steps
        tick = np.array([held['tick']])
        held['states'], columns = ready.segment(held['states'], tick, tick, tick)
        jax.block_until_ready(columns)

    return run


def _usual(workload, size):
    from lbexp.config import lookup

    made = lookup.build('workload', {'name': workload})
    data = {name: np.asarray(values) for name, values in made.train.arrays.items()}
    tx = optax.sgd(0.01, 0.9)
    params, model_state = made.init(jax.random.key(0))
    held = {'state': (params, tx.init(params)), 'at': 0, 'order': None}
    generator = np.random.default_rng(0)

    @jax.jit
    def step(state, batch, key):
        params, opt_state = state

        def loss(p):
            return made.loss(p, model_state, batch, key)[0]['loss'].mean()

        value, grads = jax.value_and_grad(loss)(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), value

    def run(steps):
        for _ in range(steps):
            if held['order'] is None or held['at'] + size > len(held['order']):
                held['order'], held['at'] = generator.permutation(made.train.size), 0
            rows = held['order'][held['at'] : held['at'] + size]
            held['at'] += size
            batch = {name: values[rows] for name, values in data.items()}
            held['state'], value = step(held['state'], batch, jax.random.key(0))
        jax.block_until_ready(value)

    return run
