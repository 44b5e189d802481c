"""Where the processes of cohorts run. One file, one way; the file's name is what --executor
takes."""

from collections.abc import Callable
from typing import NamedTuple


class Wanted(NamedTuple):
    """What the user asks of an executor."""

    workers: int | None  # cohorts at once; None: as many as there is room for
    cores: int | None  # of each worker; None: a share of this machine, or 1 of a cluster
    accelerators: int  # of each worker, of a cluster


class Executor(NamedTuple):
    """Starts workers, and tells whether a start may still come to something. The folders say what
    became of it.

    It is made before JAX starts, which does not like to be forked.
    """

    # cohorts to train -> how many to hand over at once; None: all, a scheduler queues them
    room: Callable
    submit: Callable  # [Task] -> [handle]
    over: Callable  # handle -> None while it waits or runs, then how it ended, in words
    # (handle, kill=False): what waits need not start; what runs has been told to save and stop
    cancel: Callable
    seconds: float  # between two looks
