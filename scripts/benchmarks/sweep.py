"""A study of 16 trials as one program against 16 runs one after another: seconds, cold, side by
side."""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from lbexp import config as configs

ROOT = pathlib.Path(__file__).parent.parent.parent


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--config', default='experiments/sweep_lr.py')
    options.add_argument(
        '--runs', type=int, default=None, help=('time so many of the lone runs, and scale to all')
    )
    options = options.parse_args(argv)
    config = configs.load(str(ROOT / options.config))
    with tempfile.TemporaryDirectory() as folder:
        together = _seconds([], options.config, pathlib.Path(folder), 'study')
        alone = []
        trials = configs.trials(config)
        for i, overrides in enumerate(trials[: options.runs]):
            arguments = [f'--config.{path}={value}' for path, value in overrides.items()]
            alone.append(
                _seconds(
                    [*arguments, '--config.sweep=()'],
                    options.config,
                    pathlib.Path(folder),
                    f'run-{i}',
                )
            )
            print(f'run {i}: {alone[-1]:.1f} s', flush=True)
    apart = sum(alone) / len(alone) * len(trials)
    timed = '' if len(alone) == len(trials) else f' (from {len(alone)} that were timed)'
    print(
        f'{len(trials)} runs {apart:.1f} s{timed}, one study {together:.1f} s; ratio '
        f'{apart / together:.1f}'
    )


def _seconds(arguments, config, folder, name):
    """Cold: each process has an empty compilation cache of its own."""
    command = [
        sys.executable,
        '-m',
        'lbexp.main',
        f'--config={config}',
        f'--workdir={folder / name}',
        *arguments,
    ]
    environment = {**os.environ, 'XDG_CACHE_HOME': str(folder / f'{name}-cache')}
    began = time.perf_counter()
    subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - began
