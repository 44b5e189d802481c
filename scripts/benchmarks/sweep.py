"""A study of 16 trials as one program against 16 runs one after another: seconds, cold, side by side."""

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
    options = options.parse_args(argv)
    config = configs.load(str(ROOT / options.config))
    with tempfile.TemporaryDirectory() as folder:
        together = _seconds([], options.config, pathlib.Path(folder), 'study')
        alone = []
        for i, overrides in enumerate(configs.trials(config)):
            arguments = [f'--config.{path}={value}' for path, value in overrides.items()]
            alone.append(_seconds([*arguments, '--config.sweep=()'], options.config, pathlib.Path(folder), f'run-{i}'))
            print(f'run {i}: {alone[-1]:.1f} s', flush=True)
    print(f'{len(alone)} runs {sum(alone):.1f} s, one study {together:.1f} s; ratio {sum(alone) / together:.1f}')


def _seconds(arguments, config, folder, name):
    """Cold: each process has an empty compilation cache of its own."""
    command = [sys.executable, '-m', 'lbexp.main', f'--config={config}', f'--workdir={folder / name}', *arguments]
    environment = {**os.environ, 'XDG_CACHE_HOME': str(folder / f'{name}-cache')}
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
