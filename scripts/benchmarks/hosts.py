"""Several processes, and losing them: lbexp.main, side by side.

Updates per second of two processes with a device each against one process with two; of a checkpoint
every 100 updates against none before the end, and what a save takes of the cores that train; the
time from SIGTERM to the end of all processes, and from kill -9 of one of two, with a launcher that
starts the command again at once, to the first new row. Ratios are the medians over rounds with
their 95 % bootstrap intervals.

A save takes CPU time that hardly depends on what is saved, so the ratio of checkpoints is that of
two workloads: digits_mlp, whose 100 updates take a moment, and fashion_mlp in large batches, whose
100 updates take seconds.
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from lbexp import analysis
from lbexp.engine.checkpoint import Checkpoints
from lbexp.engine.environment import environment

ROOT = pathlib.Path(__file__).parent.parent.parent
EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = {workload}
    c.optimizer = dict(name='momentum', learning_rate=0.01, momentum=0.9)
    c.batch_size, c.steps, c.num_rows, c.num_evaluations = {batch_size}, {steps}, {steps} // 100, 1
    return c
"""


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--batch_size', type=int, default=256)
    options.add_argument('--width', type=int, default=512, help='of the two hidden layers')
    options.add_argument('--steps', type=int, default=2000)
    options.add_argument('--large_batch_size', type=int, default=2048, help='of fashion_mlp')
    options.add_argument('--large_steps', type=int, default=1000, help='of fashion_mlp')
    options.add_argument('--rounds', type=int, default=6)
    parser, options = options, options.parse_args(argv)
    if min(options.steps, options.large_steps) < 300:
        parser.error(
            '--steps and --large_steps are at least 300: a row comes every 100, and the '
            'first warms up'
        )
    facts = environment()
    print(
        ', '.join(
            f'{k} {facts[k]}' for k in ('processor', 'cores', 'backend', 'jax', 'orbax-checkpoint')
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        digits = dict(name='digits_mlp', hidden=(options.width, options.width))
        small = _experiment(folder / 'small', digits, options.batch_size, options.steps)
        fashion = dict(name='fashion_mlp')
        large = _experiment(
            folder / 'large', fashion, options.large_batch_size, options.large_steps
        )
        shared, never = '--config.data_parallel=2', '--config.num_checkpoints=1'
        often = f'--config.num_checkpoints={options.steps // 100}'
        processes = {
            '2 processes x 1 device': lambda workdir: _rate(small, workdir, 2, shared, never),
            '1 process x 2 devices': lambda workdir: _rate(small, workdir, 1, shared, never),
        }

        def measured(ways):
            return _measured(ways, folder, options.rounds)

        on_small, on_large = (
            f'digits_mlp, batch {options.batch_size}',
            (f'fashion_mlp, batch {options.large_batch_size}'),
        )
        print(_compared(on_small, measured(processes)), flush=True)
        print(_compared(on_small, measured(_checkpoints(small, options.steps))), flush=True)
        print(_compared(on_large, measured(_checkpoints(large, options.large_steps))), flush=True)
        print(_save(folder, options.width), flush=True)
        losses = {
            'SIGTERM to the end, 1 process': lambda workdir: _stop(small, workdir, 1, often),
            'SIGTERM to one, to the end of 2 processes': lambda workdir: _stop(
                small, workdir, 2, shared, often
            ),
            'kill -9 to the first new row, 2 processes': lambda workdir: _recover(
                small, workdir, shared, often
            ),
        }
        for name, seconds in measured(losses).items():
            print(
                f'{name}: median {statistics.median(seconds):.2f} s of '
                f'{[round(s, 2) for s in seconds]}'
            )


def _checkpoints(experiment, steps):
    often, never = (f'--config.num_checkpoints={count}' for count in (steps // 100, 1))
    return {
        'a checkpoint every 100 updates': lambda workdir: _rate(experiment, workdir, 1, often),
        'no checkpoint before the end': lambda workdir: _rate(experiment, workdir, 1, never),
    }


def _compared(workload, found):
    """A line on two ways and the ratio of their rates."""
    ratios = [a / b for a, b in zip(*found.values(), strict=True)]
    rates = ', '.join(f'{name} {statistics.median(rates):.1f}' for name, rates in found.items())
    return (
        f'{workload}: updates/s {rates}; ratio {analysis.format_interval(ratios)}, '
        f'{len(ratios)} rounds from {min(ratios):.3f} to {max(ratios):.3f}'
    )


def _experiment(folder, workload, batch_size, steps):
    """The path of an experiment that trains so."""
    folder.mkdir()
    path = folder / 'experiment.py'
    path.write_text(EXPERIMENT.format(workload=workload, batch_size=batch_size, steps=steps))
    return path


def _measured(ways, folder, rounds):
    """{name: what it gave in each round}; the order alternates, and other load on the machine meets
    all."""
    found = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: -1 if number % 2 else 1]:
            with tempfile.TemporaryDirectory(dir=folder) as workdir:
                found[name].append(ways[name](pathlib.Path(workdir)))
    return found


def _rate(experiment, workdir, processes, *arguments):
    """Updates per second from the second row, when all is compiled, to the last."""
    for process in _start(experiment, workdir, processes, arguments):
        if process.wait():
            raise SystemExit(f'{process.args} ended with status {process.returncode}')
    rows = _rows(workdir)
    return (rows[-1]['step'] - rows[1]['step']) / (rows[-1]['wall_time'] - rows[1]['wall_time'])


def _save(folder, width, saves=20):
    """CPU time of a save of the weights and momentum of the network, and of one of next to
    nothing."""
    shapes = [(1, 64, width), (1, width, width), (1, width, 10)] * 2
    trees = {'this state': {str(i): np.ones(shape, np.float32) for i, shape in enumerate(shapes)}}
    trees['one number'] = {'0': np.ones(1, np.float32)}
    told = []
    for name, tree in trees.items():
        checkpoints = Checkpoints(folder / name.replace(' ', '-'))
        _save_and_wait(checkpoints, [0], tree)  # which finds everything cold
        began = time.process_time()
        _save_and_wait(checkpoints, range(1, saves + 1), tree)
        told.append(f'of {name} {1e3 * (time.process_time() - began) / saves:.1f} ms')
        checkpoints.close()
    return f'CPU time of a save: {", ".join(told)}'


def _save_and_wait(checkpoints, steps, tree):
    for step in steps:
        checkpoints.save(step, tree)
        checkpoints.wait()


def _stop(experiment, workdir, processes, *arguments):
    """Seconds from SIGTERM to the last process, in the middle of the run, to the end of all."""
    job = _start(experiment, workdir, processes, arguments)
    _wait_for_rows(job, workdir, 3)
    began = time.perf_counter()
    job[-1].send_signal(signal.SIGTERM)
    for process in job:
        if process.wait() != 75:
            raise SystemExit(f'{process.args} ended with status {process.returncode}')
    return time.perf_counter() - began


def _recover(experiment, workdir, *arguments):
    """Seconds from kill -9 of one of two processes to a row that was not there."""
    job = _start(experiment, workdir, 2, arguments)
    _wait_for_rows(job, workdir, 3)
    began = time.perf_counter()
    job[1].kill()
    for process in job:
        process.wait()
    reached = _rows(workdir)[-1]['step']
    job = _start(experiment, workdir, 2, arguments)
    while max((row['step'] for row in _rows(workdir)), default=0) <= reached:
        if any(process.poll() is not None for process in job):
            raise SystemExit('the job ended before it had a new row')
        time.sleep(0.01)
    taken = time.perf_counter() - began
    for process in job:
        process.kill()
        process.wait()
    return taken


def _start(experiment, workdir, processes, arguments):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        address = f'127.0.0.1:{free.getsockname()[1]}'
    command = [sys.executable, '-m', 'lbexp.main', f'--config={experiment}', f'--workdir={workdir}']
    job = (
        [f'--coordinator_address={address}', f'--num_processes={processes}']
        if processes > 1
        else []
    )
    quiet = dict(
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
    )
    own = [[f'--process_id={i}'] if job else [] for i in range(processes)]
    return [subprocess.Popen([*command, *arguments, *job, *one], **quiet) for one in own]


def _wait_for_rows(job, workdir, count):
    while len(_rows(workdir)) < count:
        if any(process.poll() is not None for process in job):
            raise SystemExit(f'{job[0].args} ended before it had {count} rows')
        time.sleep(0.01)


def _rows(workdir):
    """The rows that are whole."""
    metrics = workdir / 'metrics.jsonl'
    text = metrics.read_text() if metrics.exists() else ''
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith('\n')]
