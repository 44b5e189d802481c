"""A curve of 60 trials (5 batch sizes x 4 learning rates x 3 seeds, one program) against one
process a trial.

python scripts/benchmark.py study [--workload mnist1d] [--runs 10] [--rounds 1]
python scripts/benchmark.py study --workload titles_lstm --epochs 0.25     (or ctr)
python scripts/benchmark.py study --passes [--workload mnist1d]     examples per second against
examples in a pass

Measured, 2 cores: one process a trial takes 18.6 times as long as the study on clicks (3 epochs;
two processes at a time 14.5), 4.7 (3.9) on titles with trials of a tenth of an epoch, where most of
both is evaluation.

Cold: every process has an empty compilation cache of its own. With --runs, so many of the lone runs
are timed, spread over the batch sizes, and scaled to all; each is also timed as two processes at a
time.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent.parent
EXPERIMENT = """
from lbexp import config


def get_config():
    c = config.base()
    c.workload = {workload!r}
    c.optimizer = dict(name='momentum', learning_rate=0.1, momentum=0.9)
    c.schedule = dict(name='cosine')
    c.batch_size, c.microbatch, c.epochs = 32, 32, {epochs}
    c.num_rows, c.num_evaluations, c.num_checkpoints = 20, 5, 1
    c.sweep = (('batch_size', (32, 64, 128, 256, 512)), ('optimizer.learning_rate', (0.02, 0.05, 0.1, 0.2)),
               ('seed', (0, 1, 2)))
    return c
"""  # noqa: E501

_WORKLOADS = {
    'digits_mlp': dict(name='digits_mlp'),
    'mnist1d': dict(name='mnist1d'),
    'titles_lstm': dict(name='titles_lstm'),
    'ctr': dict(name='binary', data=dict(name='adult'), model=dict(name='dcn')),
}


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--workload', default='digits_mlp', choices=_WORKLOADS)
    options.add_argument('--epochs', type=float, default=20.0, help='of each trial')
    options.add_argument('--runs', type=int, default=10, help='lone runs that are timed, of 60')
    options.add_argument('--rounds', type=int, default=1)
    options.add_argument(
        '--passes',
        action='store_true',
        help=('the speed of one trial against its batch size, and stop'),
    )
    options = options.parse_args(argv)
    if options.passes:
        return _passes(_WORKLOADS[options.workload])
    points = [
        (b, rate, seed)
        for b in (32, 64, 128, 256, 512)
        for rate in (0.02, 0.05, 0.1, 0.2)
        for seed in range(3)
    ]
    some = points[:: len(points) // min(options.runs, len(points))][: options.runs]
    print(
        f'{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; '
        f'{options.workload}, {options.epochs:g} epochs'
    )
    found = {'study': [], 'one': [], 'two': []}
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / 'curve.py'
        file.write_text(
            EXPERIMENT.format(workload=_WORKLOADS[options.workload], epochs=options.epochs)
        )
        # prepares the data, reads the packages from the disk
        _wait([_start(file, folder, 'warm', _alone(points[0]))])
        for number in range(options.rounds):
            found['study'].append(_wait([_start(file, folder, f'study-{number}', [])]))
            lone = [
                _wait([_start(file, folder, f'{number}-{i}', _alone(p))])
                for i, p in enumerate(some)
            ]
            pairs = list(zip(some[::2], some[1::2], strict=False))
            both = [
                _wait(
                    [
                        _start(file, folder, f'{number}-{i}-{j}', _alone(p))
                        for j, p in enumerate(pair)
                    ]
                )
                for i, pair in enumerate(pairs)
            ]
            found['one'].append(statistics.mean(lone) * len(points))
            found['two'].append(statistics.mean(both) / 2 * len(points))
    study, one, two = (statistics.median(found[name]) for name in ('study', 'one', 'two'))
    print(f'one study            {study:7.1f} s   {study / 60:6.2f} s a trial')
    print(
        f'one process a trial  {one:7.1f} s   {one / 60:6.2f} s a trial   ratio '
        f'{one / study:5.1f}   (from {len(some)})'
    )
    print(
        f'two at a time        {two:7.1f} s   {two / 60:6.2f} s a trial   ratio {two / study:5.1f}'
    )
    case = f'{options.workload}, {options.epochs:g} epochs'
    return [
        {'case': case, 'quantity': 'one process a trial / study', 'value': one / study},
        {'case': case, 'quantity': 'two at a time / study', 'value': two / study},
    ]


def _passes(workload):
    from lbexp import config
    from lbexp.engine.speed import speed

    print(
        f'{_processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; '
        f'{workload["name"]}, one trial'
    )
    for size in (1, 2, 4, 8, 16, 32, 64, 128):
        c = config.base()
        c.workload, c.optimizer = (
            workload,
            dict(name='momentum', learning_rate=0.01, momentum=0.9),
        )
        c.batch_size, c.epochs = size, 1.0
        found = speed(config.resolve(c, {}))
        middle, low, high = statistics.median(found), min(found), max(found)
        print(
            f'{size:4} examples a pass {middle:10.0f} examples / s   {low:.0f} to {high:.0f}',
            flush=True,
        )


def _alone(point):
    size, rate, seed = point
    overrides = {
        'batch_size': size,
        'optimizer.learning_rate': rate,
        'seed': seed,
        'microbatch': None,
        'sweep': (),
    }
    return [f'--config.{path}={value}' for path, value in overrides.items()]


def _start(file, folder, name, arguments):
    command = [
        sys.executable,
        '-m',
        'lbexp.main',
        f'--config={file}',
        f'--workdir={folder}/{name}',
        *arguments,
    ]
    environment = {
        **os.environ,
        'XDG_CACHE_HOME': f'{folder}/{name}-cache',
        'PYTHONPATH': str(ROOT),
    }
    began = time.perf_counter()
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return subprocess.Popen(command, cwd=ROOT, env=environment, **quiet), began


def _wait(started):
    for process, _ in started:
        if process.wait():
            raise RuntimeError(f'exit {process.returncode}: {" ".join(process.args)}')
    return time.perf_counter() - started[0][1]


def _processor():
    cpuinfo = pathlib.Path('/proc/cpuinfo')
    names = [
        n.partition(':')[2].strip() for n in cpuinfo.read_text().splitlines() if 'model name' in n
    ]
    return names[0] if names else 'unknown processor'


if __name__ == '__main__':
    main(sys.argv[1:])
