"""What checkpoints cost: a run with the default saves, and with five, beside one without; speeds
from the first dispatch to the end, by the clock and by seconds of all cores, which a busy machine
disturbs less."""

import argparse
import pathlib
import statistics
import tempfile
import time

from lbexp import analysis
from lbexp import config as configs
from lbexp.engine.environment import environment
from lbexp.engine.run import run
from lbexp.parallel.devices import devices

_WAYS = {'none': 0, 'default': 'auto', '5': 5}


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--workload', default='digits_mlp')
    options.add_argument('--steps', type=int, default=900)
    options.add_argument('--rounds', type=int, default=9)
    options = options.parse_args(argv)
    devices(1, many_trials=False)
    facts = environment()
    print(', '.join(f'{k} {facts[k]}' for k in ('processor', 'cores', 'backend', 'jax')))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in _WAYS}
    for number in range(options.rounds):
        for name in list(_WAYS)[:: -1 if number % 2 else 1]:
            times[name].append(_seconds(options, _WAYS[name]))
    measurements = []
    for place, what in enumerate(('the clock', 'seconds of cores')):
        print(f'by {what}, of {options.steps} steps:')
        of_ways = {}
        for name, pairs in times.items():
            of_ways[name] = [pair[place] for pair in pairs]
            print(f'  {name}: median {statistics.median(of_ways[name]):.3f} s')
        for name in ('default', '5'):
            ratios = []
            for without, with_saves in zip(of_ways['none'], of_ways[name], strict=True):
                ratios.append(without / with_saves)
            print(f'  speed with {name} / without: {analysis.format_interval(ratios)}', flush=True)
            median, low, high = analysis.interval(ratios)
            case = f'{options.workload}, {options.steps} steps, by {what}'
            quantity = f'speed with saves {name} / without'
            measured = {'case': case, 'quantity': quantity, 'value': median}
            measurements.append({**measured, 'low': low, 'high': high})
    return measurements


def _seconds(options, num_checkpoints):
    """By the clock, and of all cores, from the first dispatch, which compiles, to the end; the
    state at the end is saved in each way."""
    config = configs.base()
    config.workload = dict(name=options.workload)
    config.optimizer = dict(name='lamb', learning_rate=0.02)
    config.steps, config.batch_size = options.steps, 128
    config.num_checkpoints = num_checkpoints
    dispatches = []
    with tempfile.TemporaryDirectory() as folder:
        trials = [configs.resolve(config, {})]
        run(trials, pathlib.Path(folder), lambda progress: dispatches.append(_now()))
        ended = _now()
    return ended[0] - dispatches[0][0], ended[1] - dispatches[0][1]


def _now():
    return time.perf_counter(), time.process_time()
