"""scripts/slurm_train.sh and srun on two Slurm nodes: what is lost comes back to the bit."""

import functools
import os
import re
import signal
import time

import pytest
from jobs import ROOT
from launched import (
    disturb,
    end,
    launched,
    pretending,
    wait_for_pretenders,
)
from slurm import slurm

pytestmark = [pytest.mark.processes, pytest.mark.launchers]


@pytest.fixture(scope='module')
def cluster():
    with slurm() as running:
        running.environment |= launched()
        yield running


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
def test_srun_and_no_srun(cluster, undisturbed_run, tmp_path):
    arguments, undisturbed = undisturbed_run
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
def test_slurm_train_goes_on_after_everything(cluster, undisturbed_run, tmp_path, disturbances):
    """Told to stop, killed or frozen, it waits for nodes again each time; its end is the
    undisturbed one."""
    arguments, undisturbed = undisturbed_run
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
