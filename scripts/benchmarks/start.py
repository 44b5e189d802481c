"""How long a user waits: --help, the first training step without and with the compilation cache, a
whole run."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent.parent


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--config', default='experiments/lamb.py')
    options.add_argument('--rounds', type=int, default=3)
    options = options.parse_args(argv)
    times = {'--help': [], 'first step, cold': [], 'first step, cached': [], 'whole run, cold': []}
    accuracy = []
    for _ in range(options.rounds):
        times['--help'].append(_seconds(['--help'], {}))
        with tempfile.TemporaryDirectory() as folder:
            cache = {'XDG_CACHE_HOME': folder}
            first, whole, row = _run(options.config, cache, pathlib.Path(folder) / 'cold')
            times['first step, cold'].append(first)
            times['whole run, cold'].append(whole)
            times['first step, cached'].append(
                _run(options.config, cache, pathlib.Path(folder) / 'cached')[0]
            )
            accuracy.append(row.get('test_accuracy'))
    for name, seconds in times.items():
        print(
            f'{name}: median {statistics.median(seconds):.2f} s of {[round(s, 2) for s in seconds]}'
        )
    print(f'test accuracy: {accuracy}')


def _run(config, environment, workdir):
    """Seconds to the first row (num_rows = steps, for the first), seconds in all, the last row."""
    command = [sys.executable, '-m', 'lbexp.main', f'--config={config}', f'--workdir={workdir}']
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    metrics = workdir / 'metrics.jsonl'
    while not metrics.exists() or not metrics.stat().st_size:
        if process.poll() is not None:
            raise SystemExit(
                f'{command} ended with status {process.returncode} before its first row'
            )
        time.sleep(0.01)
    first = time.perf_counter() - began
    process.wait()
    return first, time.perf_counter() - began, json.loads(metrics.read_text().splitlines()[-1])


def _seconds(arguments, environment):
    began = time.perf_counter()
    command = [sys.executable, '-m', 'lbexp.main', *arguments]
    subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - began
