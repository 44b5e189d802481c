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
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else None
    count = len(cores) if cores else os.cpu_count() or 1
    if resources.cores is not None and resources.cores > count:
        raise Refusal(
            f'--cores: found {resources.cores}; allowed: at most the {count} of this machine'
        )
    most = count // (resources.cores or 1) if not _accelerator() else 1
    running = {}  # slot -> process

    def capacity(cohorts):
        workers = resources.workers or min(most, cohorts)
        running.update({slot: running.get(slot) for slot in range(workers)})
        for slot in [slot for slot in running if slot >= workers]:
            del running[slot]
        return workers

    def submit(batch):
        return [start(arguments) for arguments in batch]

    def free_slots():
        return [
            slot for slot, process in running.items() if not process or process.poll() is not None
        ]

    def start(arguments):
        while not free_slots():
            time.sleep(0.01)  # one has said that it is through, and is about to end
        slot, each = free_slots()[0], resources.cores or max(count // len(running), 1)
        share = [cores[(slot * each + i) % count] for i in range(each)] if cores else None
        command = [
            sys.executable,
            '-m',
            'lbexp.sweep.worker',
            json.dumps(arguments._replace(cores=share)),
        ]
        folder = pathlib.Path(arguments.workdir) / 'cohorts' / f'{arguments.number:05d}'
        folder.mkdir(parents=True, exist_ok=True)
        with open(log(folder), 'ab') as file:
            # A session of its own: Ctrl-C in the terminal is for this process, which tells the
            # workers.
            how = dict(stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
            running[slot] = subprocess.Popen(command, **how)
        return running[slot]

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


def _accelerator():
    """Whether this machine has a device that one process takes whole."""
    return any(
        pathlib.Path(f'/dev/{name}').exists() for name in ('nvidia0', 'kfd', 'accel0', 'vfio/0')
    )
