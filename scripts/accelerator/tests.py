"""The quick tests of the engine and the optimizers that start no process, on the accelerator.

They were written for eight CPU devices and for float32 products in full: what needs several devices
fails where there is one, and is told by its name.
"""

import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import jax

from accelerator.record import Record

_ROOT = pathlib.Path(__file__).parent.parent.parent
_FOLDERS = ('tests/engine', 'tests/optimizers', 'tests/models')


def measure(record: Record, quick: bool, deadline: float) -> None:
    results = record.out.resolve() / 'tests.xml'
    marks = 'quick and not processes and not launchers and not browser and not long and not slow'
    command = [sys.executable, '-m', 'pytest', '-q', '-m', marks, f'--junitxml={results}']
    command += ['tests/optimizers/masks_test.py'] if quick else _FOLDERS
    workers = min(8, os.cpu_count() or 1)
    # pytest-benchmark, where it is installed, warns beside xdist, and warnings are errors
    command += ['-p', 'no:cacheprovider', '-p', 'no:benchmark', '-n', str(workers)]
    platform = {'cpu': 'cpu', 'gpu': 'cuda'}.get(jax.default_backend(), jax.default_backend())
    environment = {
        **os.environ,
        'LBEXP_TEST_PLATFORM': platform,
        'JAX_DEFAULT_MATMUL_PRECISION': 'highest',
        'XLA_PYTHON_CLIENT_PREALLOCATE': 'false',
    }
    with record.trying('quick tests'):
        left = deadline - time.monotonic() - 5
        subprocess.run(command, cwd=_ROOT, env=environment, timeout=left)
        suite = xml.parse(results).getroot().find('testsuite')
        counts = {name: int(suite.get(name)) for name in ('tests', 'failures', 'errors', 'skipped')}
        wrong = counts['failures'] + counts['errors']
        passed = counts['tests'] - wrong - counts['skipped']
        record.add('quick tests that pass', passed, '', f'of {counts["tests"] - counts["skipped"]}')
        for case in suite.iter('testcase'):
            problem = case.find('failure')
            problem = case.find('error') if problem is None else problem
            if problem is not None:
                cause = re.sub(r'\s+', ' ', problem.get('message', ''))[:160]
                record.failed(cause, f'{case.get("classname")}::{case.get("name")}')
