"""One trial through the engine against the usual loop, fashion_mlp: updates per second, side by
side.

The usual loop is what most codebases have: one jitted Linen step per batch, called from Python with
NumPy batches. A round measures both, and which goes first alternates; printed are the median of the
rounds' ratios with its 95 % bootstrap interval, and the least and the largest of them.
"""

import argparse
import statistics

import _side_by_side

from lbexp import analysis


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--batch_sizes', type=int, nargs='+', default=[32, 256, 2048])
    options.add_argument('--rounds', type=int, default=25)
    options.add_argument('--seconds', type=float, default=1.0, help='aimed at for each measurement')
    options.add_argument('--workload', default='fashion_mlp')
    options = options.parse_args(argv)
    print(_side_by_side.machine())
    workload = dict(name=options.workload)
    measurements = []
    for size in options.batch_sizes:
        ways = {
            'engine': _side_by_side.engine(workload, size),
            'usual loop': _side_by_side.usual_loop(workload, size),
        }
        rates = _side_by_side.rates(ways, options.rounds, options.seconds)
        ratios = [a / b for a, b in zip(rates['engine'], rates['usual loop'], strict=True)]
        medians = ', '.join(f'{name} {statistics.median(r):.1f}' for name, r in rates.items())
        print(
            f'batch {size}: updates/s {medians}; ratio {analysis.format_interval(ratios)}, '
            f'{len(ratios)} rounds from {min(ratios):.2f} to {max(ratios):.2f}',
            flush=True,
        )
        median, low, high = analysis.interval(ratios)
        case = {'case': f'{options.workload}, batch {size}', 'quantity': 'speed / usual loop'}
        measurements.append({**case, 'value': median, 'low': low, 'high': high})
    return measurements
