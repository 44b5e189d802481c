"""Measures lbexp on a machine with one accelerator, in at most eight minutes, stage by stage.

    python scripts/accelerator_check.py --out=OUT --data=data.tar.xz

Each stage is a process of its own with a time limit. What it measures is appended to
OUT/results.jsonl at once, so that a stage that fails, hangs or runs out of time costs only what it
had not measured yet. OUT/summary.md is the page to read; OUT/log.txt has what the stages printed.

The machine needs jax for its accelerator and the packages of requirements.txt:

    python -m venv .venv && . .venv/bin/activate
    pip install -r requirements.txt 'jax[cuda12]'        # or jax[cuda13], with the driver that fits

Another version of jax is no obstacle: the environment's stage tells the versions, and which
requirements are absent. Stages `peaks` and `updates` need jax and optax alone.

Data sets come from where TFDS_DATA_DIR points. For a machine without network, pack them before, on
one that has them prepared (`python -m lbexp.data.prepare fashion_mnist`), as arrays in one file of
25 MB:

    python scripts/accelerator_check.py --pack=data.tar.xz

A stage whose data is absent says so and goes on without it. On a CPU the same command runs;
`--quick` shrinks every stage, to two minutes in all on two cores.
"""

import argparse
import os
import pathlib
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from accelerator import packed_data, summary
from accelerator.record import Record

# Stage -> seconds that it may take at most. The most valuable come first; the peaks go before what
# is compared with them. The sum is above the limit: few stages need their whole box.
STAGES = {
    'environment': 60,
    'peaks': 50,
    'command': 120,
    'updates': 120,
    'training': 130,
    'networks': 130,
    'studies': 130,
    'gap': 120,
    'tests': 120,
}
_LEAST = 10  # s without which a stage is not started
_GRACE = 8  # s between the request to stop and the kill
_SUMMARY = 3  # s
_PARTLY = 9  # status of a stage that has told itself what failed


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('accelerator'))
    parser.add_argument('--limit', type=float, default=460.0, help='s of wall clock in all')
    parser.add_argument(
        '--patience', type=float, default=1.0, help='factor of the time that a stage may take'
    )
    parser.add_argument('--quick', action='store_true', help='everything small, for a CPU')
    parser.add_argument('--data', type=pathlib.Path, help='a folder as TFDS has it, or a pack')
    parser.add_argument('--stages', default=','.join(STAGES), help='some of: %(default)s')
    parser.add_argument('--pack', type=pathlib.Path, help='write the data sets there, and stop')
    parser.add_argument('--stage', help=argparse.SUPPRESS)  # what a stage's process is given
    options = parser.parse_args(argv)
    if options.pack:
        return packed_data.pack(options.pack)
    if options.stage:
        return _stage(options)
    names = options.stages.split(',')
    unknown = sorted(set(names) - STAGES.keys())
    if unknown:
        print(f'--stages: found {unknown}; allowed: {", ".join(STAGES)}', file=sys.stderr)
        return 2
    return _all(options, names, argv)


def _all(options, names, argv):
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in ('results.jsonl', 'log.txt', 'summary.md'):
        (options.out / name).unlink(missing_ok=True)
    # Whoever stops this process still gets the summary of what was measured.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    command = shlex.join([pathlib.Path(sys.executable).name, 'scripts/accelerator_check.py', *argv])
    status = 0
    with tempfile.TemporaryDirectory(prefix='accelerator-', ignore_cleanup_errors=True) as scratch:
        try:
            environment = _environment(options, scratch)
            for name in names:
                left = options.limit - (time.monotonic() - began) - _SUMMARY
                if not _run(options, name, left, scratch, environment):
                    status = 1
                summary.write(options.out, command, time.monotonic() - began)
        except KeyboardInterrupt:
            Record(options.out, 'all').failed('stopped from outside')
            status = 1
        summary.write(options.out, command, time.monotonic() - began)
    print((options.out / 'summary.md').read_text())
    return status


def _environment(options, scratch):
    """The variables of a stage's process: the repository, and the data that was given."""
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(HERE.parent), *_path()])}
    environment['PYTHONUNBUFFERED'] = '1'
    if options.data is None:
        return environment
    try:
        folder = packed_data.ready(options.data, pathlib.Path(scratch) / 'data')
        environment['TFDS_DATA_DIR'] = str(folder)
    except Exception as error:
        Record(options.out, 'environment').failed(f'--data: {type(error).__name__}: {error}')
    return environment


def _path():
    return [part for part in os.environ.get('PYTHONPATH', '').split(os.pathsep) if part]


def _run(options, name, left, scratch, environment):
    """Runs a stage in a process of its own for as long as it may; whether it did all it had to."""
    record = Record(options.out, name)
    if left < _LEAST:
        record.failed(f'not started: {left:.0f} s were left')
        return False
    box = min(options.patience * STAGES[name], left) - _GRACE
    command = [sys.executable, str(HERE / 'accelerator_check.py'), f'--stage={name}']
    command += [f'--out={options.out}', f'--limit={box}', *(['--quick'] if options.quick else [])]
    print(f'{time.strftime("%H:%M:%S")} {name}, at most {box:.0f} s', flush=True)
    with open(options.out / 'log.txt', 'a') as log:
        log.write(f'\n=== {name}\n')
        log.flush()
        process = subprocess.Popen(
            command,
            env={**environment, 'TMPDIR': scratch},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, which ends as a whole
        )
        try:
            status = process.wait(box)
        except subprocess.TimeoutExpired:
            status = None
            record.failed(f'stopped after its {box:.0f} s; what it had measured is kept')
        finally:
            _end(process)
    if status not in (0, _PARTLY, None):
        record.failed(f'ended with status {status}: {_last_line(options.out / "log.txt")}')
    record.add('stage', record.seconds(), 's', 'its whole process, start included')
    return status == 0


def _end(process):
    for number, patience in ((signal.SIGTERM, _GRACE - 3), (signal.SIGKILL, 3)):
        try:
            os.killpg(process.pid, number)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _last_line(log):
    lines = [line for line in log.read_text(errors='replace').splitlines() if line.strip()]
    return lines[-1][:300] if lines else ''


def _stage(options):
    """One stage, in this process."""
    import importlib

    record = Record(options.out, options.stage)
    print(f'Python {platform.python_version()}', flush=True)
    module = importlib.import_module(f'accelerator.{options.stage}')
    module.measure(record, options.quick, time.monotonic() + options.limit)
    return _PARTLY if record.failures else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
