"""Where the processes of cohorts run. One file, one way; the file's name is what --executor
takes.

An executor starts workers and tells whether a start may still come to something. What became of a
cohort it is never asked: that is in the cohort's folder (`lbexp.sweep.leases`), so a scheduler that
forgets or lies costs time alone. One that trains a cohort after another, here:

    import subprocess, sys, json

    from lbexp.sweep.executors import Executor, Resources

    def one_by_one(resources: Resources) -> Executor:
        def submit(batch):
            command = [sys.executable, '-m', 'lbexp.sweep.worker']
            return [subprocess.run([*command, json.dumps(arguments)]) for arguments in batch]

        return Executor(
            capacity=lambda cohorts: 1,
            submit=submit,
            exit_reason=lambda done: f'ended with status {done.returncode}',
            cancel=lambda done, kill=False: None,
            seconds=0.1,
        )
"""

from collections.abc import Callable
from typing import Any, NamedTuple


class Resources(NamedTuple):
    """What the user asks of an executor."""

    workers: int | None  # cohorts at once; None: as many as there is capacity for
    cores: int | None  # of each worker; None: a share of this machine, or 1 of a cluster
    accelerators: int  # of each worker, of a cluster


class Executor(NamedTuple):
    """Starts workers, and tells whether a start may still come to something. The folders say what
    became of it.

    It is made before JAX starts, which does not like to be forked.
    """

    # cohorts to train -> how many to hand over at once; None: all, a scheduler queues them
    capacity: Callable[[int], int | None]
    submit: Callable[[list], list]  # [WorkerArguments] -> [handle]
    # handle -> None while it waits or runs, then how it ended, in words
    exit_reason: Callable[[Any], str | None]
    # (handle, kill=False): what waits need not start; what runs has been told to save and stop
    cancel: Callable[..., Any]
    seconds: float  # between two looks
