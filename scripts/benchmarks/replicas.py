"""Local SGD against synchronous replicas: steps per second at k = 1, 8, 64, and the bytes
all-reduced per step.

python scripts/benchmark.py replicas [--workload fashion_mlp] [--workers 2] [--worker_batch 32]

Two CPU devices with a worker on each; one device, with its workers as a batched program (vmap), as
lbexp has them; and one that goes through them in a loop (lax.map). Every round measures all of them
in turn; ratios are of one round.
"""

import argparse
import os
import statistics
import time

import jax
import numpy as np

from lbexp import config as configs
from lbexp.engine.environment import environment
from lbexp.engine.plan import plan
from lbexp.engine.program import program
from lbexp.parallel import workers as axis
from lbexp.parallel.devices import devices

WAYS = {'synchronous': None, 'k 1': 1, 'k 8': 8, 'k 64': 64}


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--workload', default='fashion_mlp')
    options.add_argument('--workers', type=int, default=2)
    options.add_argument('--worker_batch', type=int, default=32)
    options.add_argument('--rounds', type=int, default=7)
    options.add_argument('--seconds', type=float, default=1.0, help='aimed at for each measurement')
    options = options.parse_args(argv)
    devices(2, False)
    facts = environment()
    told = ', '.join(f'{k} {facts[k]}' for k in ('processor', 'cores', 'backend', 'jax'))
    print(
        f'{told}, load {os.getloadavg()[0]:.1f}; {options.workload}, {options.workers} workers x '
        f'{options.worker_batch}'
    )
    for place in ('2 devices', 'vmap', 'loop'):
        runs = {name: _run(options, k, place) for name, k in WAYS.items()}
        ticks = {name: _calibrated(run, options.seconds) for name, run in runs.items()}
        rates = {name: [] for name in WAYS}
        for _ in range(options.rounds):
            for name, run in runs.items():
                rates[name].append(ticks[name] / _seconds(run, ticks[name]))
        for name, run in runs.items():
            ratios = [a / b for a, b in zip(rates[name], rates['synchronous'], strict=True)]
            ratio = f'{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]'
            rate, sent = statistics.median(rates[name]), float(run(1)['communicated_bytes'][0])
            print(
                f'{place:10} {name:12} {rate:8.1f} steps/s  x {ratio} of synchronous  '
                f'{sent:12.0f} bytes/step'
            )


def _run(options, k, place):
    """ticks -> columns after so many more steps."""
    c = configs.base()
    c.workload = dict(name=options.workload)
    c.optimizer = dict(name='momentum', learning_rate=0.01, momentum=0.9)
    c.batch_size = options.workers * options.worker_batch
    c.steps = 2**31 // c.batch_size  # positions of examples have 32 bits
    local = dict(name='local_sgd', workers=options.workers, k=k)
    c.replicas = local if k else dict(name='synchronous', workers=options.workers)
    each = axis._each
    if place == 'loop':
        axis._each = lambda f: lambda *arrays: jax.lax.map(lambda one: f(*one), arrays)
    try:
        (cohort,) = plan([configs.resolve(c, {})])
        ready = program(cohort, 'map', 2 if place == '2 devices' else 1)
        held = {'states': ready.init(), 'tick': 0}

        def run(ticks):
            before, held['tick'] = held['tick'], held['tick'] + ticks
            at = np.array([held['tick']])
            held['states'], columns = ready.segment(held['states'], at, np.array([before]), at + 1)
            return jax.block_until_ready(columns)

        run(1)  # compiled
    finally:
        axis._each = each
    return run


def _seconds(run, ticks):
    began = time.perf_counter()
    run(ticks)
    return time.perf_counter() - began


def _calibrated(run, seconds):
    run(64)
    return max(64, int(128 * seconds / _seconds(run, 128)))
