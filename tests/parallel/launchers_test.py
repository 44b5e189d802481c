"""The launchers in scripts/ with the real things: two Slurm nodes, OpenMPI. What is lost comes back
to the bit."""

import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from jobs import ROOT, environment, lines, needs
from slurm import slurm
from training import rows

pytestmark = [pytest.mark.processes, pytest.mark.launchers]

EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(16,), dropout=0.1)
    c.optimizer = dict(name='momentum', learning_rate=0.02)
    c.steps, c.batch_size, c.data_parallel = 240, 32, 2
    c.num_rows, c.num_evaluations, c.num_checkpoints = 60, 1, 15
    return c
"""
# Stands for the trainer: 'python -m lbexp.main --start_timeout=300 75,76 1' ends in its first run
# as 75 says, in the next as 76 does.
PRETENDER = """#!{python}
import os, pathlib, signal, sys, time
numbers = ('SLURM_PROCID', 'OMPI_COMM_WORLD_RANK', 'SLURM_RESTART_COUNT')
*ranks, restart = (int(os.environ.get(name, 0)) for name in numbers)
rank = max(ranks)
status = int(sys.argv[4].split(',')[restart])
with open(sys.argv[5], 'a') as log:
    log.write(f'{{rank}} ')
signal.signal(signal.SIGTERM, lambda *told: os._exit(75))
if rank == 0 and status == 137:
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(0 if rank == 0 and status else 240)  # the others are killed, or told to stop
os._exit(status)
"""


@pytest.fixture(scope='module')
def cluster():
    with slurm() as running:
        running.environment |= launched()
        yield running


def launched():
    """What a shell has in which lbexp is installed."""
    python = os.path.dirname(sys.executable)
    return environment(PATH=f'{python}{os.pathsep}{os.environ["PATH"]}', PYTHONPATH=str(ROOT))


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """The arguments of an experiment of some seconds, and its end in one process that nobody
    disturbed."""
    folder = tmp_path_factory.mktemp('whole')
    (folder / 'experiment.py').write_text(EXPERIMENT)
    command = [
        sys.executable,
        '-m',
        'lbexp.main',
        f'--config={folder}/experiment.py',
        f'--workdir={folder}/run',
        '--figures=',
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment())
    arguments = [f'--config={folder}/experiment.py', '--peer_timeout=10', '--figures=']
    return arguments, end(folder / 'run')


def end(workdir):
    """Rows and the arrays of the last checkpoint: parameters, optimizer state, keys; not the times,
    nor digests of them, nor the run's name."""
    from orbax.checkpoint import v1 as ocp

    (newest,) = sorted(workdir.glob('checkpoints/*/*'), key=lambda step: int(step.name))[-1:]
    arrays = {path: np.asarray(array) for path, array in ocp.load(newest).items()}
    kept = {
        path: array.tobytes()
        for path, array in arrays.items()
        if not re.search('seconds|sha256|digests|manifest', path)
    }
    assert len(kept) < len(arrays) and sum('params' in path for path in kept) >= 4
    return rows(workdir), kept


def pretending(folder):
    """The environment in which 'python' is the pretender."""
    if not (folder / 'python').exists():  # else it may be running
        (folder / 'python').write_text(PRETENDER.format(python=sys.executable))
        (folder / 'python').chmod(0o755)
    return {'PATH': f'{folder}{os.pathsep}{launched()["PATH"]}'}


def wait_for_pretenders(log):
    began = time.monotonic()
    while not log.exists() or len(log.read_text().split()) < 2:
        assert time.monotonic() - began < 60
        time.sleep(0.1)


def rank(workdir, variable, number):
    """The pid of the process of the job of that number."""
    for process in pathlib.Path('/proc').glob('[0-9]*'):
        try:
            arguments = (process / 'cmdline').read_bytes().split(b'\0')
            variables = (process / 'environ').read_bytes().split(b'\0')
        except OSError:  # it has just ended
            continue
        trains = (
            arguments[1:3] == [b'-m', b'lbexp.main']
            and f'--workdir={workdir}'.encode() in arguments
        )
        if trains and f'{variable}={number}'.encode() in variables:
            return int(process.name)
    raise AssertionError(f'no process {number}')


def disturb(workdir, variable, number, signal_, alive, more=5):
    """Sends the signal once the run has written some rows of its own."""
    metrics = workdir / 'metrics.jsonl'
    least, began = lines(metrics), time.monotonic()
    while lines(metrics) < least + more:
        least = min(least, lines(metrics))  # a run that goes on drops rows beyond its checkpoint
        if time.monotonic() - began > 30:  # not before: to ask Slurm takes a process
            assert alive() and time.monotonic() - began < 120
            time.sleep(1)
        time.sleep(0.01)
    os.kill(rank(workdir, variable, number), signal_)


def wait_until_saved(workdir, alive):
    while json.loads((workdir / 'status.json').read_text())['status'] != 'preempted':
        assert alive()
        time.sleep(0.05)


def shown(cluster, job):
    """What Slurm says about a job: {'JobState': ...}."""
    return dict(re.findall(r'(\w+)=(\S*)', cluster.ask('scontrol', 'show', 'job', '-o', job)))


def ended(cluster, job, seconds=240):
    """The same, when the job has ended."""
    began = time.monotonic()
    while (told := shown(cluster, job))['JobState'] in (
        'PENDING',
        'RUNNING',
        'COMPLETING',
        'REQUEUED',
    ):
        assert time.monotonic() - began < seconds, told
        time.sleep(0.2)
    return told


@pytest.mark.long
def test_srun_and_no_srun(cluster, whole, tmp_path):
    arguments, undisturbed = whole
    main = ['python', '-m', 'lbexp.main', *arguments, f'--workdir={tmp_path}/run']
    done = cluster.run('srun', '-N2', '-n2', '--kill-on-bad-exit=1', *main, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for i in range(2):
        assert (
            f'process {i} of 2 on host {os.uname().nodename}: 1 of 2 devices (cpu)' in done.stdout
        )
    assert end(tmp_path / 'run') == undisturbed
    wrong = ['--ntasks=2', f'--output={tmp_path}/out', f'--wrap={" ".join(main)}0', '--parsable']
    told = ended(cluster, cluster.ask('sbatch', f'--chdir={tmp_path}', *wrong))
    assert (told['JobState'], told['ExitCode']) == ('FAILED', '2:0')
    assert (
        'Slurm job of 2 tasks' in (tmp_path / 'out').read_text()
        and not (tmp_path / 'run0').exists()
    )


@pytest.mark.long
@pytest.mark.parametrize(
    'disturbances',
    [
        [(1, signal.SIGTERM, 75), (0, signal.SIGKILL, 137)],
        pytest.param([(1, signal.SIGKILL, 137), (1, signal.SIGSTOP, 76)], marks=pytest.mark.slow),
    ],
)
def test_slurm_train_goes_on_after_everything(cluster, whole, tmp_path, disturbances):
    """Told to stop, killed or frozen, it waits for nodes again each time; its end is the
    undisturbed one."""
    arguments, undisturbed = whole
    workdir = tmp_path / 'run'
    script = [
        f'--chdir={tmp_path}',
        f'--output={tmp_path}/out',
        ROOT / 'scripts' / 'slurm_train.sh',
    ]
    job = cluster.ask('sbatch', '--parsable', *map(str, script), *arguments, f'--workdir={workdir}')

    def alive():
        return shown(cluster, job)['JobState'] in ('PENDING', 'RUNNING', 'COMPLETING')

    for restart, (number, signal_, _) in enumerate(disturbances):
        disturb(workdir, 'SLURM_PROCID', number, signal_, alive)
        while int(shown(cluster, job)['Restarts']) == restart:
            assert alive()
            time.sleep(0.2)
    told, output = ended(cluster, job), (tmp_path / 'out').read_text()
    assert (told['JobState'], told['ExitCode'], told['Restarts']) == ('COMPLETED', '0:0', '2'), (
        output
    )
    statuses = re.findall(r'lbexp: status (\d+); restart (\d) of at most 20', output)
    expected = [(str(status), str(i)) for i, (*_, status) in enumerate(disturbances, 1)]
    assert statuses == expected
    told_to_stop = 'stopped by a signal to another process; saved in' in output
    assert told_to_stop == (disturbances[0][1] == signal.SIGTERM)
    assert end(workdir) == undisturbed
    assert not list(tmp_path.glob('.lbexp-*'))


@pytest.mark.long
def test_slurm_train_waits_for_nodes_again_only_where_it_helps(cluster, tmp_path):
    """By the status of the process that failed first, not by that of those which srun then
    killed."""
    submit = functools.partial(submit_pretenders, cluster, tmp_path)
    # What is told to stop by scancel ends with 75, and does not come back.
    cancelled = submit('0')
    again = {submit(f'{status},1'): ('1', '1:0') for status in ('75', '76', '77', '134')}
    again[submit('137,137', LBEXP_RESTARTS='1')] = ('1', '137:0')
    at_once = {submit(status): ('0', f'{status}:0') for status in ('2', '3', '78')}
    # What Slurm does two minutes before a job's time is over: it tells the steps to stop.
    assert '#SBATCH --signal=TERM@120' in (ROOT / 'scripts' / 'slurm_train.sh').read_text()
    warned = submit('0,2')
    wait_for_pretenders(tmp_path / '0')
    cluster.ask('scancel', cancelled)
    wait_for_pretenders(tmp_path / '0,2')
    cluster.ask('scancel', '--signal=TERM', warned)
    jobs = {**again, **at_once, warned: ('1', '2:0')}
    for job, expected in jobs.items():
        told = ended(cluster, job)
        assert (told['JobState'], told['Restarts'], told['ExitCode']) == ('FAILED', *expected), told
    assert (ended(cluster, cancelled)['JobState'], shown(cluster, cancelled)['Restarts']) == (
        'CANCELLED',
        '0',
    )


@pytest.mark.slow
def test_slurm_train_saves_before_its_time_is_over(cluster, tmp_path):
    """Two minutes before: of a job of two minutes, at once. Slurm looks each half minute."""
    job = submit_pretenders(cluster, tmp_path, '0,2', '--time=2')
    told = ended(cluster, job)
    assert (told['JobState'], told['Restarts'], told['ExitCode']) == ('FAILED', '1', '2:0'), told


def submit_pretenders(cluster, folder, statuses, *options, **more):
    """The number of a job in which the pretender stands for the trainer.

    Args:
        statuses: 'A,B': it ends with A in its first run, with B in the next; 0: it waits.
        options: of sbatch.
        more: environment of the job.
    """
    script = [
        f'--chdir={folder}',
        f'--output={folder}/out',
        str(ROOT / 'scripts' / 'slurm_train.sh'),
    ]
    command = ['sbatch', '--parsable', *options, *script, statuses, str(folder / statuses)]
    ready = cluster.environment | pretending(folder)
    return cluster.run(*command, env={**ready, **more}).stdout.strip()


@pytest.fixture
def mpirun():
    """The start of the command, for two processes on this machine."""
    needs('mpirun', packages='openmpi-bin')
    options = [
        '-n',
        '2',
        '--oversubscribe',
        *(['--allow-run-as-root'] if os.geteuid() == 0 else []),
    ]
    return [str(ROOT / 'scripts' / 'mpirun_train.sh'), *options, '--']


@pytest.mark.long
def test_mpirun_train_goes_on(mpirun, whole, tmp_path):
    """Told to stop, and killed."""
    arguments, undisturbed = whole
    workdir = tmp_path / 'run'
    how = dict(
        cwd=tmp_path, env=launched(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with subprocess.Popen([*mpirun, *arguments, f'--workdir={workdir}'], **how) as job:

        def alive():
            return job.poll() is None

        disturb(workdir, 'OMPI_COMM_WORLD_RANK', 1, signal.SIGTERM, alive)
        wait_until_saved(workdir, alive)
        disturb(workdir, 'OMPI_COMM_WORLD_RANK', 0, signal.SIGKILL, alive)
        output, _ = job.communicate(timeout=300)
    assert job.returncode == 0, output
    assert re.findall(r'lbexp: status (\d+); restart (\d) of', output) == [
        ('75', '1'),
        ('137', '2'),
    ]
    for i in range(2):
        assert f'process {i} of 2 on host {os.uname().nodename}: 1 of 2 devices (cpu)' in output
    assert end(workdir) == undisturbed


def test_mpirun_train_is_told_to_stop(mpirun, tmp_path):
    """The processes are told first, and have the time to save; it does not start them again."""
    ready = environment() | pretending(tmp_path)
    with subprocess.Popen(
        [*mpirun, '0', str(tmp_path / 'log')], env=ready, stderr=subprocess.DEVNULL
    ) as job:
        wait_for_pretenders(tmp_path / 'log')
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) == 75
    assert len((tmp_path / 'log').read_text().split()) == 2
    done = subprocess.run(mpirun[:-1], capture_output=True, text=True)
    assert done.returncode == 2 and "no '--' found" in done.stderr
