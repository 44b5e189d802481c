"""Seconds to read a study of thousands of trials: lbexp.results.final and .read of a workdir that
is made up.

python scripts/benchmark.py results [--trials=5000] [--rows=20] [--repeats=5]
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time

from lbexp import results


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--trials', type=int, default=5000)
    parser.add_argument('--rows', type=int, default=20, help='of each trial')
    parser.add_argument('--repeats', type=int, default=5)
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        _make_up(pathlib.Path(folder), given.trials, given.rows)
        measurements = []
        for read in (results.final, results.read):
            wall, processor = zip(
                *(_seconds(read, folder) for _ in range(given.repeats)), strict=True
            )
            print(
                f'{read.__name__} of {given.trials} trials, {given.trials * given.rows} rows: '
                'median '
                f'{statistics.median(wall):.2f} s, of which the process computed '
                f'{statistics.median(processor):.2f} s'
            )
            case = f'{given.trials} trials, {given.trials * given.rows} rows'
            quantity = f'{read.__name__}, seconds of the processor'
            measured = {'case': case, 'quantity': quantity, 'value': statistics.median(processor)}
            measurements.append(measured)
    return measurements


def _seconds(read, folder):
    began = time.perf_counter(), time.process_time()
    read(folder)
    return time.perf_counter() - began[0], time.process_time() - began[1]


def _make_up(folder, trials, rows):
    overrides = [{'optimizer.learning_rate': t / 7, 'seed': t % 4} for t in range(trials)]
    entries = [{'trial': t, 'round': 0, 'overrides': own} for t, own in enumerate(overrides)]
    config = {'optimizer': {'name': 'lamb', 'learning_rate': 0.1}, 'seed': 0}
    (folder / 'config.json').write_text(
        json.dumps({'config': config, 'trials': entries, 'environment': {}})
    )
    states = {t: {'status': 'done', 'step': rows} for t in range(trials)}
    (folder / 'status.json').write_text(json.dumps({'status': 'done', 'trials': states}))
    norms = {'gradient_norm': 1.5, 'parameter_norm': 2.5, 'update_norm': 0.1}
    with open(folder / 'metrics.jsonl', 'w') as file:
        for step in range(1, rows + 1):
            for trial in range(trials):
                place = {
                    'trial': trial,
                    'step': step,
                    'examples': 64 * step,
                    'epoch': step / 10,
                    'wall_time': step / 5,
                }
                measured = {
                    'loss': 1 / (step + trial),
                    'accuracy': 0.5,
                    'test_loss': 0.3,
                    'test_accuracy': 0.9,
                }
                file.write(json.dumps({**place, **measured, **norms, 'learning_rate': 0.1}) + '\n')
