"""scripts/mpirun_train.sh with OpenMPI: what is lost comes back to the bit."""

import os
import re
import signal
import subprocess

import pytest
from jobs import ROOT, environment, needs
from launched import disturb, end, launched, pretending, wait_for_pretenders, wait_until_saved

pytestmark = [pytest.mark.processes, pytest.mark.launchers]


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
def test_mpirun_train_goes_on(mpirun, undisturbed_run, tmp_path):
    """Told to stop, and killed."""
    arguments, undisturbed = undisturbed_run
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
