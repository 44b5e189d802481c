"""How a study grows with its trials, and a run with its rows: seconds of the processor, memory and
bytes, each beside what is aimed at.

python scripts/benchmark.py scale [--trials 1 16 256 4096] [--rows 100000] [--only trials ...]

`trials`: digits_mlp, 20 updates and 5 rows a trial, seeds apart, one program. `reading`: a workdir
that is made up, every trial a configuration of its own, as results and report read it. `rows`: one
trial of linear regression with a row at every update. Every case is a process of its own.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

from lbexp import config as configs
from lbexp import results
from lbexp.engine.environment import environment
from lbexp.engine.plan import plan
from lbexp.engine.program import program
from lbexp.engine.run import run
from lbexp.parallel.devices import devices
from lbexp.report.assets import plotly
from lbexp.report.page import page

STEPS, ROWS = 20, 5  # of a trial
PARTS = ('trials', 'reading', 'rows')
AIMS = {
    'plan': 'linear',
    'compile': 'flat',
    'train': 'linear',
    'memory': 'linear',
    'row': '<= 1000 B',
    'results': '<= 2 s',
    'report': '<= 2 s',
    'page': '<= 3 MB',
    'growth': 'flat',
}


def main(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--trials', type=int, nargs='+', default=[1, 16, 256, 4096])
    parser.add_argument('--rows', type=int, default=100_000)
    parser.add_argument('--only', nargs='+', choices=PARTS, default=PARTS)
    parser.add_argument('--case', help='PART:NUMBER: measure it in this process, as JSON')
    options = parser.parse_args(argv)
    if options.case:
        part, _, number = options.case.partition(':')
        print(json.dumps(_CASES[part](int(number))))
        return None
    facts = environment()
    print(', '.join(f'{name} {facts[name]}' for name in ('processor', 'cores', 'backend', 'jax')))
    measurements = []
    for part in options.only:
        counts = [options.rows] if part == 'rows' else options.trials
        for count in counts:
            measurements += _show(part, count)
    return measurements


def _show(part, count):
    """Prints a case; returns it as rows of the history."""
    command = [sys.executable, str(pathlib.Path(__file__).parents[1] / 'benchmark.py'), 'scale']
    answer = subprocess.run(
        [*command, '--case', f'{part}:{count}'], stdout=subprocess.PIPE, check=True
    )
    values = json.loads(answer.stdout.splitlines()[-1])
    words, measurements = [], []
    for name, value in values.items():
        words.append(f'{name} {value:.4g} (aim {AIMS[name.split()[0]]})')
        measurements.append({'case': f'{part} {count}', 'quantity': name, 'value': value})
    print(f'{part} {count:6}: {", ".join(words)}', flush=True)
    return measurements


def _trials(count):
    devices(1, many_trials=count > 1)
    config = configs.base()
    config.workload = dict(name='digits_mlp')
    config.optimizer = dict(name='momentum', learning_rate=0.1, momentum=0.9)
    config.batch_size, config.steps = 32, STEPS
    config.num_rows, config.num_evaluations = ROWS, 1
    config.sweep = (('seed', tuple(range(count))),)
    trials = [configs.resolve(config, overrides) for overrides in configs.trials(config)]
    began = time.process_time()
    (cohort,) = plan(trials)
    planned = time.process_time()
    program(cohort, cohort.config['layout'], cohort.config['data_parallel']).memory()
    compiled = time.process_time()
    before = _resident()
    with tempfile.TemporaryDirectory() as folder:
        # It plans again, and compiles what the cache has.
        run(trials, pathlib.Path(folder))
        trained = time.process_time()
        size = _bytes(pathlib.Path(folder))
    return {
        'plan [s]': planned - began,
        'compile [s]': compiled - planned,
        'train [s]': trained - compiled,
        'memory [MB]': (_peak() - before) / 1e6,
        'row [B]': size / (count * ROWS),
    }


def _bytes(folder):
    """Of the workdir, but for checkpoints, which are as large as the states."""
    files = [file for file in folder.rglob('*') if file.is_file()]
    return sum(file.stat().st_size for file in files if 'checkpoints' not in file.parts)


def _reading(count):
    plotly()  # the same in every page
    with tempfile.TemporaryDirectory() as folder:
        _make_up(pathlib.Path(folder), count)
        began = time.process_time()
        results.load(folder)
        loaded = time.process_time()
        path = page(folder, None, ())
        written = time.process_time()
        size = path.stat().st_size
    return {
        'results [s]': loaded - began,
        'report [s]': written - loaded,
        'page [MB]': size / 1e6,
    }


def _make_up(folder, trials):
    """A workdir of trials that differ in their learning rates."""
    entries, states, lines = [], {}, []
    for trial in range(trials):
        rate = (1 + trial) / trials
        overrides = {'optimizer.learning_rate': rate}
        entries.append({'trial': trial, 'round': 0, 'overrides': overrides})
        states[trial] = {'status': 'done', 'step': ROWS}
    config = {
        'optimizer': {'name': 'lamb', 'learning_rate': 0.1},
        'workload': {'name': 'digits_mlp'},
        'seed': 0,
    }
    for step in range(1, ROWS + 1):
        for trial in range(trials):
            row = {'trial': trial, 'step': step, 'examples': 64 * step, 'epoch': step / 10}
            row |= {'wall_time': step / 5, 'loss': 1 / (step + trial), 'accuracy': 0.5}
            row |= {'test_loss': 0.3, 'test_accuracy': 1 - 1 / (step + trial), 'update_norm': 0.1}
            lines.append(json.dumps(row))
    document = {'config': config, 'trials': entries, 'environment': {}}
    (folder / 'config.json').write_text(json.dumps(document))
    status = {'status': 'done', 'trials': states}
    (folder / 'status.json').write_text(json.dumps(status))
    (folder / 'metrics.jsonl').write_text('\n'.join(lines) + '\n')


def _rows(count):
    devices(1, many_trials=False)
    config = configs.base()
    config.workload = dict(name='linear_regression', size=100)
    config.optimizer = dict(name='sgd', learning_rate=0.001)
    config.batch_size, config.steps, config.num_rows = 16, count, count
    config.num_evaluations = 1
    resident = []

    def watch(progress):
        if progress.step % (count // 10) == 0:
            resident.append(_resident())

    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        run([configs.resolve(config, {})], pathlib.Path(folder), watch, trackers=())
        trained = time.process_time()
        size = _bytes(pathlib.Path(folder))
        read = time.process_time()
        path = page(folder, None, ())
        written = time.process_time()
        page_size = path.stat().st_size
    return {
        'train [s]': trained - began,
        'growth [MB]': (resident[-1] - resident[0]) / 1e6,
        'row [B]': size / count,
        'report [s]': written - read,
        'page [MB]': page_size / 1e6,
    }


def _peak():
    """Bytes: the most that was resident."""
    return _status('VmHWM')


def _resident():
    return _status('VmRSS')


def _status(name):
    for line in pathlib.Path('/proc/self/status').read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f'/proc/self/status: found no {name}; allowed: Linux')


_CASES = {'trials': _trials, 'reading': _reading, 'rows': _rows}

if __name__ == '__main__':
    main(sys.argv[1:])
