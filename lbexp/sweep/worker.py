"""A process that trains one cohort of a workdir, exactly as a direct run would: python -m
lbexp.sweep.worker JSON."""

import json
import os
import pathlib
import signal
import sys
import traceback
from typing import NamedTuple

from ml_collections import ConfigDict

from lbexp import command
from lbexp import config as configs
from lbexp.errors import Refusal, describe
from lbexp.sweep import attempts


class Task(NamedTuple):
    """What an executor hands to a process: plain data."""

    workdir: str  # absolute
    number: int  # of the cohort
    token: str  # names this start
    after: int  # number of the attempt before
    beat: int  # its last sign of life, where it was thought lost
    lost: float  # seconds without a sign of life after which this attempt will count as lost
    cores: list[int] | None = None  # that the process keeps to; None: those it is given
    restart_lost: bool = False  # train from the start where checkpoints or rows are lost


def worker(task: Task):
    """Trains the cohort, unless another process is at it or it was done meanwhile. What it prints
    goes to its log."""
    stop = command.Stop(signal.SIGUSR2)  # Slurm's word, by way of submitit, that time is nearly up
    from lbexp.sweep import cohorts

    work = cohorts.works(pathlib.Path(task.workdir))[task.number]
    work.folder.mkdir(parents=True, exist_ok=True)
    _log_to(log(work.folder))
    before = attempts.Attempt(task.after, beat=task.beat)
    held = attempts.take(work.folder, before, task.token, task.lost)
    if held is None:
        print('lbexp: another process has this cohort, or it is done', flush=True)
        return
    print(
        (
            f'lbexp: attempt {held.attempt.number} on {held.attempt.host}, process '
            f'{held.attempt.pid}'
        ),
        flush=True,
    )
    try:
        held.end(_train(task, work, held, stop))
    except BaseException as error:
        traceback.print_exc()
        print(f'lbexp: {describe(error)}', file=sys.stderr, flush=True)
        held.end('failed', describe(error))


def log(folder: pathlib.Path) -> pathlib.Path:
    """The file of what the processes of a cohort print."""
    return folder / 'log.txt'


def _train(task, work, held, stop):
    """Returns how it ended."""
    from lbexp.engine import record

    document = record.read(pathlib.Path(task.workdir))
    config = ConfigDict(document['config'])
    command.prepare(config)
    if task.cores is not None:
        _keep_to(task.cores, config.data_parallel or 1)
    from lbexp.engine import run
    from lbexp.engine.status import statuses

    entries = [entry for entry in document['trials'] if entry['trial'] in set(work.trials)]
    trials = [configs.resolve(config, entry['overrides']) for entry in entries]
    _refuse_other_code(task.workdir, document.get('fingerprint', {}), trials)
    record.cohort(work.folder, document, entries)
    observe = lambda progress: held.progress(progress.step, progress.steps)
    tell = lambda line: print(f'lbexp: {line}', flush=True)
    stopping = lambda: stop() or held.stopping()
    ended = run.run(
        trials,
        work.folder,
        observe,
        tell,
        stopping,
        numbers=work.trials,
        restart_lost=task.restart_lost,
    )
    status = statuses(work.folder).values()
    return (
        'diverged'
        if ended == 'done' and all(one['status'] == 'diverged' for one in status)
        else ended
    )


def _refuse_other_code(workdir, planned, trials):
    """Cohorts of one workdir train with one code; data was read where they were planned, perhaps on
    another backend."""
    from lbexp.engine.fingerprint import fingerprint

    here = {
        name: digest
        for name, digest in fingerprint(trials).items()
        if not name.startswith('data of')
    }
    differ = [name for name, digest in here.items() if planned.get(name, digest) != digest]
    if differ:
        raise Refusal(
            f'workdir {workdir!r} was planned with other code ({"; ".join(differ[:5])}). Choose '
            'another --workdir, or '
            'put the code back'
        )


def _keep_to(cores, shards):
    """Before JAX starts, with a thread per core. The devices are as many as in a direct run: they
    decide last bits."""
    os.sched_setaffinity(0, cores)
    if shards > len(cores):
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
    worker(Task(*json.loads(sys.argv[1])))
    sys.stdout.flush()
    os._exit(0)  # everything is on the disk: JAX need not take itself apart
