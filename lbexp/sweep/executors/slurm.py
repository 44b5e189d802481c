"""Slurm: arrays of jobs, by way of submitit."""

import getpass
import pathlib
import shutil
import subprocess
import time

from lbexp.errors import Refusal
from lbexp.sweep.executors import Executor, Resources
from lbexp.sweep.worker import worker

_LISTED = 2.0  # seconds for which a list of jobs is good


def slurm(resources: Resources) -> Executor:
    """Cohorts as tasks of arrays, `workers` of which run at once. The workdir lies on a file system
    that nodes share.

    Partition, account, time and the like are given to sbatch by its own environment:
    SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT. What became of a task is never asked of
    Slurm, which may keep no accounts, but read in its folder; of Slurm only whether it is still in
    the queue.

    Raises:
        Refusal: there is no submitit, or no Slurm.
    """
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise Refusal(f"--executor=slurm: {error}; pip install '.[slurm]'") from error
    if shutil.which('sbatch') is None:
        raise Refusal(
            '--executor=slurm: found no sbatch here; allowed: on a machine that submits to Slurm'
        )
    cores = resources.cores or 1
    parameters = dict(
        job_name='lbexp',
        array_parallelism=resources.workers or 1000,
        cpus_per_task=cores,
        srun_args=[f'--cpus-per-task={cores}'],  # which steps do not take over from their job
        gpus_per_node=resources.accelerators or None,
        time=None,  # what the partition, or SBATCH_TIMELIMIT, says
    )
    queue = _Queue()

    def submit(batch):
        executor = submitit.SlurmExecutor(folder=pathlib.Path(batch[0].workdir) / 'slurm')
        executor.update_parameters(**parameters)
        jobs = executor.map_array(worker, batch)
        # A list from before lacks the new jobs: they would pass for ended.
        queue.forget()
        return [job.job_id for job in jobs]

    def exit_reason(job):
        listed = queue.jobs()
        # While Slurm does not answer, a job is taken for alive: its folder tells when it is not.
        if listed is None or job in listed:
            return None
        return f'job {job} left the queue'

    return Executor(lambda cohorts: None, submit, exit_reason, _cancel, 1.0)


def _cancel(job, kill=False):
    options = []
    if not kill:
        # What runs was told by its folder, and is to save first.
        options.append('--state=PENDING')
    subprocess.run(['scancel', *options, job], capture_output=True, timeout=60)


class _Queue:
    """The user's jobs that wait or run; None while Slurm does not answer."""

    def __init__(self):
        self._jobs: set[str] | None = None
        self._at: float | None = None

    def forget(self):
        self._at = None

    def jobs(self):
        if self._at is None or time.monotonic() - self._at > _LISTED:
            # With --array every task is a line; of an array that waits there is one otherwise.
            command = ['squeue', '--noheader', '--array', '--format=%i']
            command += ['--user', getpass.getuser()]
            listing = subprocess.run(command, capture_output=True, text=True, timeout=60)
            self._jobs = None
            if listing.returncode == 0:
                self._jobs = set(listing.stdout.split())
            self._at = time.monotonic()
        return self._jobs
