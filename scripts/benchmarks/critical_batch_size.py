"""Steps to a target against batch size on the noisy quadratic of 10,000 curvatures 1 / i, by exact
recursion.

python scripts/benchmark.py critical_batch_size [--dimension=10000] [--target=0.01] [--batch_sizes 1
4 16 ...]

The figure of Zhang et al. 2019 (arXiv:1907.04164, Figure 3 and Sections 3.3 and 4): for each
optimizer and batch size the fewest updates until the expected loss is at most `target`, over
learning rates that the recursion itself tunes; no sampling, no training. Then the critical batch
size of each, from the hyperbola S = S_min + E_min / B, and the paper's claims as ratios: momentum
and preconditioning extend perfect scaling, averaging helps where the batch is small.

Measured (150 s on 2 cores under load 12): critical batch sizes 871 (SGD), 18,600 (momentum), 21,400
(preconditioned), 37,800 (both), 492 (EMA), 431 (Lookahead around SGD). Momentum needs 1.000 times
SGD's updates at batch size 1, 0.055 times at 262,144. The EMA saves 5 % of them at batch size 1, 44
% at 64, 62 % at 256, nothing at 262,144, where this Lookahead needs twice as many.
"""

import argparse
import functools
import time

import jax
import numpy as np

from lbexp.theory.critical_batch_size import critical_batch_size
from lbexp.theory.steps_to_target import tuned_steps

OPTIMIZERS = {
    'SGD': {},
    'momentum 0.9': dict(momentum=0.9),
    'EMA 0.99': dict(ema_decay=0.99),
    'Lookahead(SGD), k 5, alpha 0.5': dict(k=5, slow_step_size=0.5),
    'Lookahead(momentum 0.9)': dict(momentum=0.9, k=5, slow_step_size=0.5),
    'preconditioned SGD, p 0.5': dict(power=0.5),
    'preconditioned momentum, p 0.5': dict(power=0.5, momentum=0.9),
}


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--dimension', type=int, default=10_000, help='curvatures 1 / i')
    parser.add_argument(
        '--target',
        type=float,
        default=0.01,
        help=('expected loss; half the sum of 1 / i at the start'),
    )
    parser.add_argument('--batch_sizes', type=int, nargs='+', default=[4**i for i in range(10)])
    given = parser.parse_args(argv)
    began = time.perf_counter()
    steps, critical = measure(given.dimension, given.target, given.batch_sizes)
    print(
        f'{given.dimension} curvatures 1 / i, loss {given.target}: fewest updates by batch '
        'size; critical batch size'
    )
    print(f'{"":32}' + ''.join(f'{size:>9}' for size in given.batch_sizes) + f'{"critical":>11}')
    for name, found in steps.items():
        print(
            f'{name:32}' + ''.join(f'{number:9.0f}' for number in found) + f'{critical[name]:11.1f}'
        )
    for claim in claims(steps, critical):
        print(claim)
    print(f'{time.perf_counter() - began:.0f} s')


def measure(dimension, target, batch_sizes):
    """By optimizer: the fewest updates at each batch size [n], and the critical batch size."""
    spectrum, sizes = 1 / np.arange(1, dimension + 1), np.asarray(batch_sizes, float)
    steps, critical = {}, {}
    with jax.enable_x64(True):
        for name, settings in OPTIMIZERS.items():
            tuned = functools.partial(_fewest, spectrum=spectrum, target=target, **settings)
            steps[name] = np.asarray(jax.jit(functools.partial(jax.lax.map, tuned))(sizes))
            reached = np.isfinite(steps[name])
            critical[name] = critical_batch_size(sizes[reached], steps[name][reached]).critical
    return steps, critical


def _fewest(size, **settings):
    steps, *_ = tuned_steps(size, **settings)
    return steps


def claims(steps, critical):
    """The paper's claims, with the numbers that say whether they hold."""
    sgd, momentum, ema = (steps[name] for name in ('SGD', 'momentum 0.9', 'EMA 0.99'))
    ahead = steps['Lookahead(SGD), k 5, alpha 0.5']

    def ratio(name, over='SGD'):
        return critical[name] / critical[over]

    yield (
        f'momentum: critical batch size {ratio("momentum 0.9"):.1f} x that of SGD; updates at '
        'the smallest batch '
        f'{momentum[0] / sgd[0]:.3f} x, at the largest {momentum[-1] / sgd[-1]:.3f} x those of SGD'
    )
    preconditioned = 'preconditioned momentum, p 0.5'
    yield (
        f'preconditioning: critical batch size {ratio("preconditioned SGD, p 0.5"):.1f} x that '
        'of SGD; of momentum, '
        f'{ratio(preconditioned, "momentum 0.9"):.1f} x that without'
    )
    yield (
        f'EMA: updates at the smallest batch {ema[0] / sgd[0]:.2f} x, at the largest '
        f'{ema[-1] / sgd[-1]:.2f} x those '
        f'of SGD; Lookahead: {ahead[0] / sgd[0]:.2f} x and {ahead[-1] / sgd[-1]:.2f} x'
    )
