"""Runs jobs that start wrongly, all at once, as processes forked from one: python forked_jobs.py
JOBS.json.

JOBS.json: [{"processes": [arguments of lbexp.main], "environments": [{}], "signal": [index, number]
or null, "port"}]. It prints [[[status, what was printed]]], by job and process. What has not ended
after a minute is killed.
"""

import contextlib
import itertools
import json
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback

from lbexp import main
from lbexp.parallel import hosts

_MINUTE = 60  # s


def start(arguments: list[str], environment: dict, output) -> int:
    """Forks a process of a job; its pid."""
    if pid := os.fork():
        return pid
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    os.environ.update(environment)
    if version := environment.get('TEST_VERSION'):
        hosts._version = lambda: version
    status = 1
    try:
        status = main.main(['main', *arguments])
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def wait_for_guest(port: int):
    """Returns when somebody is connected to the port."""
    began, wanted = time.monotonic(), f':{port:04X} '
    while time.monotonic() - began < _MINUTE:
        lines = pathlib.Path('/proc/net/tcp').read_text().splitlines()
        if any(wanted in line and line.split()[3] == '01' for line in lines):
            return
        time.sleep(0.05)


def kill(pids: list[list[int]]):
    for pid in itertools.chain(*pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def run(jobs: list[dict]) -> list[list]:
    """By job and process, [status, what was printed]."""
    outputs, pids = [], []
    for job in jobs:
        outputs.append([tempfile.TemporaryFile('w+') for _ in job['processes']])  # noqa: SIM115
        parts = zip(job['processes'], job['environments'], outputs[-1], strict=True)
        pids.append([start(*part) for part in parts])
    for job, processes in zip(jobs, pids, strict=True):
        if job['signal']:
            wait_for_guest(job['port'])
            index, number = job['signal']
            os.kill(processes[index], number)
    signal.signal(signal.SIGALRM, lambda *_: kill(pids))
    signal.alarm(_MINUTE)
    results = []
    for processes, files in zip(pids, outputs, strict=True):
        results.append([])
        for pid, file in zip(processes, files, strict=True):
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            file.seek(0)
            results[-1].append([status, file.read()])
    return results


if __name__ == '__main__':
    print(json.dumps(run(json.loads(pathlib.Path(sys.argv[1]).read_text()))))
