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
    processes = _Processes(resources)

    def submit(batch):
        return list(map(processes.start, batch))

    return Executor(processes.capacity, submit, _exit_reason, _cancel, 0.1)


class _Processes:
    """Workers side by side, each in a slot that has a share of the cores."""

    def __init__(self, resources):
        self._resources = resources
        self._cores = _own_cores()
        self._count = len(self._cores) or os.cpu_count() or 1
        self._slots: list[subprocess.Popen | None] = []
        if resources.cores is not None and resources.cores > self._count:
            raise Refusal(
                f'--cores: found {resources.cores}; allowed: at most the {self._count} of this '
                'machine'
            )

    def capacity(self, cohorts):
        # One process takes an accelerator whole.
        most = 1 if _has_accelerator() else self._count // (self._resources.cores or 1)
        slots = self._resources.workers or min(most, cohorts)
        added = [None] * max(slots - len(self._slots), 0)
        self._slots = [*self._slots, *added][:slots]
        return slots

    def start(self, arguments):
        while (slot := self._free_slot()) is None:
            time.sleep(0.01)  # one has said that it is through, and is about to end
        process = _process(arguments._replace(cores=self._share(slot)))
        self._slots[slot] = process
        return process

    def _free_slot(self):
        for slot, process in enumerate(self._slots):
            if process is None or process.poll() is not None:
                return slot
        return None

    def _share(self, slot):
        """The cores of a slot; None where the system does not say which there are."""
        if not self._cores:
            return None
        width = self._resources.cores or max(self._count // len(self._slots), 1)
        first = slot * width
        # Where more workers are asked for than there are cores, shares overlap.
        return [self._cores[i % self._count] for i in range(first, first + width)]


def _exit_reason(process):
    status = process.poll()
    if status is None:
        return None
    if status < 0:
        return f'ended by {signal.Signals(-status).name}'
    return f'ended with status {status}'


def _cancel(process, kill=False):
    if kill:
        process.kill()
    else:
        process.terminate()


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
