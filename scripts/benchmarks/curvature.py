"""What each evaluation probe costs, in gradients of the examples that it measures.

A round calls each probe once, and the gradient of the loss over the same examples several times;
the order alternates. Printed are the medians over the rounds of the ratio, with a 95 % bootstrap
interval, and what XLA plans to hold beside the parameters and the data, in sizes of the parameters.

--large measures one probe, 20 Lanczos products of a network of 25 million parameters, and the
process's peak of memory.
"""

import argparse
import resource
import statistics
import sys
import time
import types

import jax
import jax.numpy as jnp

from lbexp import analysis
from lbexp import config as configs
from lbexp.engine.environment import environment
from lbexp.engine.plan import plan
from lbexp.engine.program import program
from lbexp.probes import EvaluationProbe

_PROBES = {
    'hessian, 20 products': dict(name='hessian'),
    'hessian, preconditioned': dict(name='hessian', preconditioned=True),
    'gauss_newton, 20 products': dict(name='hessian', matrix='gauss_newton'),
    'hessian_trace': dict(name='hessian_trace'),
    'spectral_density, 4 x 30 products': dict(name='spectral_density'),
    'sharpness, sam': dict(name='sharpness', kind='sam'),
    'sharpness, adaptive': dict(name='sharpness', kind='adaptive'),
    'sharpness, keskar': dict(name='sharpness', kind='keskar'),
    'sharpness, average': dict(name='sharpness', kind='average'),
    'directional_curvature': dict(name='directional_curvature'),
    'noise_covariance, 32 groups': dict(name='noise_covariance'),
    'hessian_noise_scale, 16 groups': dict(name='hessian_noise_scale'),
}
_LARGE = dict(name='digits_mlp', hidden=(4096, 4096, 2048))
_GRADIENTS = 5  # of a measurement of the unit


def gradient(examples: int) -> EvaluationProbe:
    """The unit: one gradient, by the same program as the probes'."""

    def measure(subject):
        grads = jax.grad(subject.loss)(subject.params)
        return {'square': sum(jnp.vdot(leaf, leaf) for leaf in jax.tree.leaves(grads))}

    return EvaluationProbe(measure, examples)


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--workload', nargs='+', default=['digits_mlp', 'fashion_cnn'])
    options.add_argument('--examples', type=int, default=256)
    options.add_argument('--rounds', type=int, default=5)
    options.add_argument('--large', action='store_true')
    options = options.parse_args(argv)
    # By this name a configuration finds the unit.
    sys.modules['unit'] = types.ModuleType('unit')
    sys.modules['unit'].gradient = gradient
    facts = environment()
    print(', '.join(f'{k} {facts[k]}' for k in ('processor', 'cores', 'backend', 'jax')))
    if options.large:
        _compare(_LARGE, {'hessian, 20 products': dict(name='hessian')}, 32, 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(f'  peak of the process: {peak / 1e9:.2f} GB')
        return
    for name in options.workload:
        _compare(dict(name=name), _PROBES, options.examples, options.rounds)


def _compare(workload, parts, examples, rounds):
    ways = {'gradient': _Way(workload, dict(name='unit:gradient'), examples)}
    for name, part in parts.items():
        ways[name] = _Way(workload, part, examples)
    for way in ways.values():
        way.seconds(1)  # compiles
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            times[name].append(ways[name].seconds(_GRADIENTS if name == 'gradient' else 1))
    unit, size = statistics.median(times['gradient']), ways['gradient'].size
    print(
        f'{workload["name"]}, {size:,} parameters, {examples} examples: {unit * 1e3:.3g} ms a '
        f'gradient, {rounds} rounds'
    )
    for name, of_probe in times.items():
        ratios = []
        for seconds, of_unit in zip(of_probe, times['gradient'], strict=True):
            ratios.append(seconds / of_unit)
        held = ways[name].held / (4 * size)
        print(
            f'  {name}: {analysis.format_interval(ratios)} gradients, {held:.1f} x the parameters',
            flush=True,
        )


class _Way:
    """A trial before its first update, and one probe of it."""

    def __init__(self, workload, part, examples):
        c = configs.base()
        c.workload, c.batch_size, c.steps = workload, 32, 1
        c.optimizer = dict(name='adamw', learning_rate=0.001)
        c.probes = ({**part, 'examples': examples},)
        (cohort,) = plan([configs.resolve(c, {})])
        compiled = program(cohort, 'auto', None)
        states = compiled.init()
        (self._measurement,) = compiled.measurements
        self._states = states
        self.size = sum(leaf.size for leaf in jax.tree.leaves(states.params))
        mesh, function, *arguments = self._measurement.measure.args
        with jax.set_mesh(mesh):
            memory = function.lower(*arguments, states).compile().memory_analysis()
        self.held = memory.temp_size_in_bytes

    def seconds(self, times):
        """Of one call."""
        began = time.perf_counter()
        for _ in range(times):
            jax.block_until_ready(self._measurement.measure(self._states))
        return (time.perf_counter() - began) / times
