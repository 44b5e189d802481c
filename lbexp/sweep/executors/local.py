"""Processes on this machine."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from lbexp.errors import Refusal
from lbexp.sweep.executors import Executor, Resources
from lbexp.sweep.worker import log


def local(resources: Resources) -> Executor:
    """Each worker keeps to its own share of the cores. They outlive this process, and another finds
    them at work.

    Raises:
        Refusal: more cores are asked for than there are.
    """
    cores = _own_cores()
    count = len(cores) or os.cpu_count() or 1
    if resources.cores is not None and resources.cores > count:
        raise Refusal(
            f'--cores: found {resources.cores}; allowed: at most the {count} of this machine'
        )
    # Processes on one accelerator would share its memory: each takes most of it at the start.
    most = 1 if _has_accelerator() else count // (resources.cores or 1)
    slots: list[subprocess.Popen | None] = []  # each with its share of the cores

    def capacity(cohorts):
        workers = resources.workers or min(most, cohorts)
        free = [None] * max(workers - len(slots), 0)
        slots[:] = [*slots, *free][:workers]
        return workers

    def submit(batch):
        return list(map(start, batch))

    def free_slot():
        for slot, process in enumerate(slots):
            if process is None or process.poll() is not None:
                return slot
        return None

    def start(arguments):
        while (slot := free_slot()) is None:
            time.sleep(0.01)  # one has said that it is through, and is about to end
        share = None
        if cores:
            each = resources.cores or max(count // len(slots), 1)
            share = [cores[(slot * each + i) % count] for i in range(each)]
        slots[slot] = process = _process(arguments._replace(cores=share))
        return process

    def exit_reason(process):
        status = process.poll()
        if status is None:
            return None
        if status < 0:
            return f'ended by {signal.Signals(-status).name}'
        return f'ended with status {status}'

    def cancel(process, kill=False):
        if kill:
            process.kill()
        else:
            process.terminate()

    return Executor(capacity, submit, exit_reason, cancel, 0.1)


def _process(arguments):
    folder = pathlib.Path(arguments.workdir) / 'cohorts' / f'{arguments.number:05d}'
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, '-m', 'lbexp.sweep.worker', json.dumps(arguments)]
    # What goes wrong before the worker has opened its log is in the log too.
    with open(log(folder), 'ab') as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # Ctrl-C in the terminal is for this process, which tells the workers.
            start_new_session=True,
        )


def _own_cores():
    """The cores that this process may use, ascending; [] where the system does not say."""
    if not hasattr(os, 'sched_getaffinity'):
        return []
    return sorted(os.sched_getaffinity(0))


def _has_accelerator():
    """Whether this machine has a device that one process takes whole."""
    devices = ('nvidia0', 'kfd', 'accel0', 'vfio/0')
    return any(pathlib.Path('/dev', device).exists() for device in devices)
