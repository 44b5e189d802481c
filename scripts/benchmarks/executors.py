"""What a cohort costs as a process of its own: local, Slurm, Ray against a direct run; two workers
against one.

python scripts/benchmark.py executors [--rounds 3] [--steps 30000]

Seconds per cohort are the slope between studies of 1 and of 5 cohorts that train next to nothing,
one worker at a time, so that what is needed once (planning, the report, a Ray that starts) is
apart. Two workers against one: 8 cohorts of one trial each, whose operations are too small for more
than a core. The compilation cache is warm throughout. Slurm is the two nodes on this machine that
the tests start; Ray starts on this machine.
"""

import argparse
import contextlib
import importlib.util
import os
import pathlib
import shutil
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
    c.workload = dict(name='digits_mlp', hidden=(16,))
    c.steps, c.batch_size = {steps}, 32
    c.num_rows, c.num_evaluations, c.num_checkpoints = 4, 1, 1
    c.sweep = (('batch_size', tuple(range(32, 32 + {cohorts}))),)  # without a microbatch each is a cohort
    return c
"""  # noqa: E501
FEW, MANY = 1, 5  # cohorts


def main(argv):
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument('--rounds', type=int, default=3)
    options.add_argument('--steps', type=int, default=30000, help='of each of the 8 cohorts')
    options = options.parse_args(argv)
    print(f'{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}')
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as held:
        environments = _executors(held)
        run = _Runs(pathlib.Path(folder), environments)
        _overhead(run, environments, options.rounds)
        _workers(run, options.rounds, options.steps)


def _overhead(run, environments, rounds):
    found = {name: ([], []) for name in environments}
    for name in environments:
        # what is read from the disk for the first time, and the compilation cache
        run(name, MANY, 100)
    for _ in range(rounds):
        for name, (slopes, starts) in found.items():
            few, many = (run(name, count, 100) for count in (FEW, MANY))
            slopes.append((many - few) / (MANY - FEW))
            starts.append(few - slopes[-1] * FEW)
    direct = statistics.median(found['direct'][0])
    for name, (slopes, starts) in found.items():
        slope, start = statistics.median(slopes), statistics.median(starts)
        told = (
            f'{name:7} {slope:6.2f} s a cohort, {slope - direct:+.2f} s, ratio {slope / direct:.1f}'
        )
        print(f'{told}; once {start:.1f} s; of {[round(s, 2) for s in slopes]}', flush=True)


def _workers(run, rounds, steps):
    one, two = [], []
    for _ in range(rounds):
        one.append(run('local', 8, steps, '--workers=1', '--cores=1'))
        two.append(run('local', 8, steps, '--workers=2', '--cores=1'))
    ratios = [a / b for a, b in zip(one, two)]
    print(
        f'8 cohorts: one worker {statistics.median(one):.1f} s, two {statistics.median(two):.1f} '
        's; '
        f'ratio {statistics.median(ratios):.2f} of {[round(r, 2) for r in ratios]}'
    )


class _Runs:
    """Times runs, each in a workdir of its own."""

    def __init__(self, folder, environments):
        self.folder, self.environments, self.count = folder, environments, 0

    def __call__(self, name, cohorts, steps, *more):
        self.count += 1
        file = self.folder / f'{self.count}.py'
        file.write_text(EXPERIMENT.format(cohorts=cohorts, steps=steps))
        module = (
            ['lbexp.main'] if name == 'direct' else ['lbexp.sweep', 'run', f'--executor={name}']
        )
        more = more or (() if name == 'direct' else ('--workers=1',))
        command = [
            sys.executable,
            '-m',
            *module,
            f'--config={file}',
            f'--workdir={self.folder}/{self.count}',
            *more,
        ]
        own = {
            'PYTHONPATH': str(ROOT),
            'XDG_CACHE_HOME': f'{self.folder}/cache',
            'JAX_PLATFORMS': 'cpu',
        }
        began = time.perf_counter()
        how = dict(
            env={**os.environ, **self.environments[name], **own},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        done = subprocess.run(command, **how)
        if done.returncode:
            raise RuntimeError(
                f'exit {done.returncode}: {" ".join(command)}\n{done.stdout}\n{done.stderr}'
            )
        return time.perf_counter() - began


def _executors(held):
    """By name, what its environment has beside the shell's."""
    found = {'direct': {}, 'local': {}}
    if importlib.util.find_spec('submitit') and all(
        map(shutil.which, ('slurmctld', 'slurmd', 'munged'))
    ):
        sys.path.insert(0, str(ROOT / 'tests'))
        from slurm import slurm

        cluster = held.enter_context(slurm())
        found['slurm'] = {'SLURM_CONF': cluster.environment['SLURM_CONF']}
    if importlib.util.find_spec('ray'):
        found['ray'] = {'RAY_ADDRESS': 'local'}
    return found


if __name__ == '__main__':
    main(sys.argv[1:])
