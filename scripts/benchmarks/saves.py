"""What checkpoints cost: a run with the default saves, and with five, beside one without; speeds
from the first dispatch to the end."""

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
    times = {name: [] for name in _WAYS}
    for number in range(options.rounds):
        for name in list(_WAYS)[:: -1 if number % 2 else 1]:
            times[name].append(_seconds(options, _WAYS[name]))
    for name, of_way in times.items():
        print(f'{name}: median {statistics.median(of_way):.3f} s for {options.steps} steps')
    for name in ('default', '5'):
        ratios = []
        for without, with_saves in zip(times['none'], times[name], strict=True):
            ratios.append(without / with_saves)
        print(f'speed with {name} / without: {analysis.format_interval(ratios)}', flush=True)


def _seconds(options, num_checkpoints):
    """From the first dispatch, which compiles, to the end; the state at the end is saved in each
    way."""
    config = configs.base()
    config.workload = dict(name=options.workload)
    config.optimizer = dict(name='lamb', learning_rate=0.02)
    config.steps, config.batch_size = options.steps, 128
    config.num_checkpoints = num_checkpoints
    dispatches = []
    with tempfile.TemporaryDirectory() as folder:
        trials = [configs.resolve(config, {})]
        run(trials, pathlib.Path(folder), lambda progress: dispatches.append(time.perf_counter()))
        return time.perf_counter() - dispatches[0]
