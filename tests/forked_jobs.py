"""Runs jobs that start wrongly, all at once, as processes forked from one: python forked_jobs.py
JOBS.json.

JOBS.json: [{"processes": [arguments of lbexp.main], "environments": [{}], "signal": [index, number]
or null}]. A signal is sent when every process of the job has heard another. It prints [[[status,
what was printed]]], by job and process. What has not ended after a minute is killed.
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
from lbexp.parallel import hosts, wire

_MINUTE = 60  # s


def mark_the_first_message(mark: pathlib.Path):
    """This process makes the file when it has heard another process of its job."""
    receive = wire.Wire.receive

    def marking(self):
        if messages := receive(self):
            mark.touch()
        return messages

    wire.Wire.receive = marking


def start(arguments: list[str], environment: dict, output, mark: pathlib.Path) -> int:
    """Forks a process of a job; its pid."""
    if pid := os.fork():
        return pid
    mark_the_first_message(mark)
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


def wait_for(marks: list[pathlib.Path]):
    began = time.monotonic()
    while time.monotonic() - began < _MINUTE and not all(mark.exists() for mark in marks):
        time.sleep(0.05)


def kill(pids: list[list[int]]):
    for pid in itertools.chain(*pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def run(jobs: list[dict], folder: pathlib.Path) -> list[list]:
    """By job and process, [status, what was printed]."""
    outputs, pids, marks = [], [], []
    for i, job in enumerate(jobs):
        count = len(job['processes'])
        outputs.append([tempfile.TemporaryFile('w+') for _ in range(count)])  # noqa: SIM115
        marks.append([folder / f'{i}-{process}' for process in range(count)])
        parts = zip(job['processes'], job['environments'], outputs[-1], marks[-1], strict=True)
        pids.append([start(*part) for part in parts])
    for i, job in enumerate(jobs):
        if job['signal']:
            wait_for(marks[i])
            index, number = job['signal']
            os.kill(pids[i][index], number)
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
    path = pathlib.Path(sys.argv[1])
    print(json.dumps(run(json.loads(path.read_text()), path.parent)))
