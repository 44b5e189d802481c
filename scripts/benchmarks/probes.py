"""What each probe costs, in units of a step without it.

A round trains the same number of updates with each probe and without one, and the order alternates;
printed are the medians over the rounds of the ratio to the run without, with a 95 % bootstrap
interval, and the bytes that a trial holds beyond it. Many short rounds tell more than a few long
ones: what else a machine does comes and goes. `microbatch 0` means none: a probe of groups
then computes the gradients of pieces.
"""

import argparse
import statistics
import time

import jax
import numpy as np

from lbexp import analysis
from lbexp import config as configs
from lbexp.engine.environment import environment
from lbexp.engine.plan import plan
from lbexp.engine.program import program

_PROBES = {
    'gradient_noise_scale': dict(name='gradient_noise_scale'),
    'gradient_noise_scale, examples': dict(name='gradient_noise_scale', groups='examples'),
    'gradient_noise_scale, layers': dict(name='gradient_noise_scale', layers=True),
    'gradient_noise_scale, preconditioned': dict(name='gradient_noise_scale', preconditioned=True),
    'alignment': dict(name='alignment'),
    'rotation': dict(name='rotation'),
    'trust_ratios': dict(name='trust_ratios'),
    'dead_units': dict(name='dead_units'),
}
_GROUPS = 8  # pieces of a batch without microbatches


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--workload', default='digits_mlp')
    options.add_argument('--batch_size', type=int, default=256)
    options.add_argument('--microbatches', type=int, nargs='+', default=[0, 32])
    options.add_argument('--every', type=int, default=1, help='of the probes')
    options.add_argument('--rounds', type=int, default=60)
    options.add_argument('--seconds', type=float, default=0.1, help='aimed at, each measurement')
    options = options.parse_args(argv)
    facts = environment()
    print(', '.join(f'{k} {facts[k]}' for k in ('processor', 'cores', 'backend', 'jax')))
    for microbatch in options.microbatches:
        _compare(options, microbatch)


def _compare(options, microbatch):
    ways = {'none': _way(options, microbatch, None)}
    for name, part in _PROBES.items():
        if part['name'] != 'dead_units':  # which looks at every update
            part = {**part, 'every': options.every}
        if microbatch == 0 and part['name'] == 'gradient_noise_scale':
            part.setdefault('groups', _GROUPS)
        ways[name] = _way(options, microbatch, part)
    steps = _calibrated(ways['none'], options.seconds)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            times[name].append(_time(ways[name], steps))
    step = statistics.median(times['none']) / steps
    print(
        f'{options.workload}, batch {options.batch_size}, microbatch {microbatch}, lamb: '
        f'{step * 1e3:.3g} ms a step without a probe, {steps} steps, {options.rounds} rounds'
    )
    for name, of_probe in times.items():
        ratios = []
        for with_probe, without in zip(of_probe, times['none'], strict=True):
            ratios.append(with_probe / without)
        more = ways[name].bytes - ways['none'].bytes
        print(f'  {name}: {analysis.format_interval(ratios)} steps, {more} bytes', flush=True)


class _Way:
    """Trains on, from where it was."""

    def __init__(self, config):
        (cohort,) = plan([configs.resolve(config, {})])
        self._program = program(cohort, 'auto', None)
        self._states, self._tick = self._program.init(), 0
        self._accumulation = int(cohort.accumulation[0])
        self.bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(self._states))

    def run(self, steps):
        self._tick += steps * self._accumulation
        tick, row = np.array([self._tick]), np.array([self._tick // self._accumulation])
        self._states, columns = self._program.segment(self._states, tick, tick, row)
        jax.block_until_ready(columns)


def _way(options, microbatch, part):
    c = configs.base()
    c.workload = dict(name=options.workload)
    c.optimizer = dict(name='lamb', learning_rate=0.001)
    c.batch_size, c.steps = options.batch_size, 2**31 // options.batch_size
    c.microbatch = microbatch or None
    if part is not None:
        c.probes = (part,)
    return _Way(c)


def _time(way, steps):
    began = time.perf_counter()
    way.run(steps)
    return time.perf_counter() - began


def _calibrated(way, seconds):
    way.run(8)
    return max(8, int(8 * seconds / _time(way, 8)))
