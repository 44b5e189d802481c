"""The README's command, end to end, on the accelerator twice and on the CPU once."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from accelerator.record import Record

_ROOT = pathlib.Path(__file__).parent.parent.parent
# Two devices sum in other orders, and an NVIDIA GPU multiplies float32 by TF32, with 10 bits of
# mantissa: after hundreds of updates weights differ, and what they classify does by a few examples.
_ACCURACY, _LOSS = 0.015, 0.05


class Run(NamedTuple):
    status: int
    first: float  # s to the first row
    whole: float  # s
    rows: list[dict]


def measure(record: Record, quick: bool, deadline: float) -> None:
    arguments = ['--config=experiments/lamb.py', *(['--config.epochs=4'] if quick else [])]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        cache = {'XDG_CACHE_HOME': f'{folder}/cache'}
        cpu = {'XDG_CACHE_HOME': f'{folder}/cache', 'JAX_PLATFORMS': 'cpu'}
        # In full precision the curves stay together longer: it says whether TF32 parts them.
        full = {**cache, 'JAX_DEFAULT_MATMUL_PRECISION': 'highest'}
        ways = {'cold': cache, 'again': cache, 'on the CPU': cpu, 'full precision': full}
        runs = {}
        for name, environment in ways.items():
            if name == 'full precision' and (quick or deadline - time.monotonic() < 40):
                continue
            with record.trying(name):
                workdir = pathlib.Path(folder) / name.replace(' ', '-')
                runs[name] = run([*arguments, f'--workdir={workdir}'], environment, workdir)
                _tell(record, name, runs[name])
                if name == 'cold':
                    shutil.copy(workdir / 'report.html', record.out / 'lamb_report.html')
                elif name != 'on the CPU' and 'on the CPU' in runs:
                    _compare(record, runs[name].rows, runs['on the CPU'].rows, name)
                if name == 'on the CPU' and 'cold' in runs:
                    _compare(record, runs['cold'].rows, runs[name].rows, 'cold')


def run(arguments: list[str], environment: dict[str, str], workdir: pathlib.Path) -> Run:
    """`python -m lbexp.main` with these arguments, watched until it ends.

    Raises:
        RuntimeError: it ended with another status than 0.
    """
    command = [sys.executable, '-m', 'lbexp.main', *arguments]
    metrics, first = workdir / 'metrics.jsonl', float('nan')
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=_ROOT, env={**os.environ, **environment})
    while process.poll() is None:
        if first != first and metrics.exists() and metrics.stat().st_size:
            first = time.perf_counter() - began
        time.sleep(0.02)
    whole = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f'ended with status {process.returncode}; its words are in log.txt')
    rows = [json.loads(line) for line in metrics.read_text().splitlines()]
    return Run(process.returncode, first, whole, rows)


def _tell(record, name, run):
    record.add(f'{name}: whole run', run.whole, 's', 'start, compilation, training, report')
    record.add(f'{name}: first row', run.first, 's', 'start and compilation bound it')
    last = run.rows[-1]
    record.add(f'{name}: test accuracy', last['test_accuracy'], '', f'after {last["step"]} updates')


def _compare(record, ours, cpu, name):
    first = abs(ours[0]['loss'] - cpu[0]['loss'])
    record.add(f'{name}: |loss - CPU loss| of the first row', first, 'nats')
    differences = {key: abs(ours[-1][key] - cpu[-1][key]) for key in ('test_accuracy', 'test_loss')}
    agree = differences['test_accuracy'] <= _ACCURACY and differences['test_loss'] <= _LOSS
    for key, difference in differences.items():
        record.add(f'{name}: |{key} - CPU {key}|', difference)
    record.add(
        f'{name}: final row agrees with the CPU',
        'yes' if agree else 'NO',
        '',
        f'tolerance: accuracy {_ACCURACY}, loss {_LOSS} nats',
    )
