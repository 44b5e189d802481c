"""A process that trains one cohort of a workdir, exactly as a direct run would: python -m
lbexp.sweep.worker JSON."""

import json
import os
import pathlib
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from lbexp import command
from lbexp import config as configs
from lbexp.errors import Refusal, describe
from lbexp.sweep import leases


class WorkerArguments(NamedTuple):
    """What an executor hands to a process: plain data."""

    workdir: str  # absolute
    number: int  # of the cohort
    token: str  # names this start
    after: int  # number of the attempt before
    heartbeat: int  # its last one, where it was thought lost
    heartbeat_timeout: float  # seconds without one after which this attempt will count as lost
    cores: list[int] | None = None  # that the process keeps to; None: those it is given
    restart_lost: bool = False  # train from the start where checkpoints or rows are lost
    trackers: Sequence[str] = ('tensorboard',)


def worker(arguments: WorkerArguments) -> None:
    """Trains the cohort, unless another process is at it or it was done meanwhile. What it prints
    goes to its log."""
    # SIGUSR2 is Slurm's word, by way of submitit, that time is nearly up.
    should_stop = command.Stop(signal.SIGUSR2)
    # Imported once signals are caught: it takes a second, in which one may come.
    from lbexp.sweep import cohorts

    task = cohorts.cohort_tasks(pathlib.Path(arguments.workdir))[arguments.number]
    task.folder.mkdir(parents=True, exist_ok=True)
    _log_to(log(task.folder))
    before = leases.Attempt(arguments.after, heartbeat=arguments.heartbeat)
    lease = leases.take(task.folder, before, arguments.token, arguments.heartbeat_timeout)
    if lease is None:
        print('lbexp: another process has this cohort, or it is done', flush=True)
        return
    attempt = lease.attempt
    print(f'lbexp: attempt {attempt.number} on {attempt.host}, process {attempt.pid}', flush=True)
    # How it ended is in the attempt's file: what the executor says of that is not relied on.
    try:
        lease.end(_train(arguments, task, lease, should_stop))
    except BaseException as error:
        traceback.print_exc()
        print(f'lbexp: {describe(error)}', file=sys.stderr, flush=True)
        lease.end('failed', describe(error))


def log(folder: pathlib.Path) -> pathlib.Path:
    """The file of what the processes of a cohort print."""
    return folder / 'log.txt'


def _train(arguments, task, lease, should_stop):
    """Returns how it ended."""
    from lbexp.engine import record
    from lbexp.engine.quiet import quiet

    document = record.read(pathlib.Path(arguments.workdir))
    config = ConfigDict(document['config'])
    quiet()
    command.prepare(config)
    # After prepare, which counts the cores of the machine as a direct run does.
    if arguments.cores is not None:
        _keep_to(arguments.cores, config.data_parallel or 1)
    from lbexp.engine import run
    from lbexp.engine.status import statuses
    from lbexp.trained.initial_weights import gather

    members = set(task.trials)
    entries = [entry for entry in document['trials'] if entry['trial'] in members]
    trials = [configs.resolve(config, entry['overrides']) for entry in entries]
    gather(trials, pathlib.Path(arguments.workdir))
    _refuse_other_code(arguments.workdir, document.get('fingerprint', {}), trials)
    record.cohort(task.folder, document, entries)
    outcome = run.run(
        trials,
        task.folder,
        lambda progress: lease.progress(progress.step, progress.steps),
        lambda line: print(f'lbexp: {line}', flush=True),
        lambda: should_stop() or lease.should_stop(),
        numbers=task.trials,
        restart_lost=arguments.restart_lost,
        trackers=arguments.trackers,
    )
    states = {state['status'] for state in statuses(task.folder).values()}
    if outcome == 'done' and states == {'diverged'}:
        return 'diverged'
    return outcome


def _refuse_other_code(workdir, planned, trials):
    """Cohorts of one workdir train with one code; data was read where they were planned, perhaps on
    another backend."""
    from lbexp.engine.fingerprint import fingerprint

    differ = []
    for name, digest in fingerprint(trials).items():
        is_of_data = name.startswith('data of')
        if not is_of_data and planned.get(name, digest) != digest:
            differ.append(name)
    if differ:
        raise Refusal(
            f'workdir {workdir!r} was planned with other code ({"; ".join(differ[:5])}). Choose '
            'another --workdir, or put the code back'
        )


def _keep_to(cores, shards):
    """Before JAX starts, with a thread per core. The devices are as many as in a direct run: they
    decide last bits."""
    os.sched_setaffinity(0, cores)
    if shards > len(cores):
        # As in `parallel.devices`: an all-reduce over more devices than threads waits for ever.
        os.environ.setdefault('NPROC', str(2 * shards))
    print(f'lbexp: cores {cores}', flush=True)


def _log_to(path):
    """What this process prints, and what the libraries in it print, goes to the end of a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)


if __name__ == '__main__':
    worker(WorkerArguments(*json.loads(sys.argv[1])))
    sys.stdout.flush()
    os._exit(0)  # everything is on the disk: JAX need not take itself apart
