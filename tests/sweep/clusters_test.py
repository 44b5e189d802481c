"""Cohorts on a real Ray and a real two-node Slurm: a killed worker is replaced, the results are the
same."""

import importlib.util
import os
import time

import pytest
from jobs import environment
from slurm import slurm
from sweeps import attempts, command, kill_one, same, start

pytestmark = [pytest.mark.processes, pytest.mark.launchers]


def sweep(workdir, file, executor):
    """The arguments of a sweep of two workers."""
    options = [f'--executor={executor}', '--workers=2']
    return [f'--config={file}', f'--workdir={workdir}', *options, 'run']


def needs_package(name):
    """Where it is absent the test is skipped; under CI=true it fails."""
    if importlib.util.find_spec(name) is None:
        (pytest.fail if os.environ.get('CI') == 'true' else pytest.skip)(
            f'no package {name}: pip install {name}'
        )


@pytest.mark.long
def test_ray_with_a_killed_worker(tmp_path, direct):
    needs_package('ray')
    file, run = direct
    # A Ray of its own, whatever else runs on this machine.
    env = environment(RAY_ADDRESS='local', RAY_TMPDIR='/tmp')
    workdir = tmp_path / 'run'
    process = start(*sweep(workdir, file, 'ray'), folder=file.parent, env=env)
    try:
        killed = kill_one(workdir, process)
        told, _ = process.communicate(timeout=300)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, told
    assert f'cohort {killed}: attempt 1 lost' in told
    states = [[one['state'] for one in cohort] for cohort in attempts(workdir)]
    assert states == [['running', 'done'] if number == killed else ['done'] for number in range(3)]
    assert same(workdir, run)


@pytest.mark.long
def test_slurm_with_a_killed_task(tmp_path, direct):
    """It is replaced. Then the sweep is told to stop: what runs saves, and what waits is taken from
    the queue."""
    needs_package('submitit')
    file, run = direct
    workdir = tmp_path / 'run'
    arguments = sweep(workdir, file, 'slurm')
    with slurm() as cluster:
        process = start(*arguments, folder=file.parent, env=cluster.environment)
        try:
            killed = kill_one(workdir, process)
            while len(attempts(workdir)[killed]) < 2:
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            process.terminate()
            told, _ = process.communicate(timeout=200)
        finally:
            process.kill()
            process.communicate()
        assert process.returncode == 75, told
        assert f'cohort {killed}: attempt 1 lost' in told
        assert cluster.ask('squeue', '-h') == ''
        scripts = [script.read_text() for script in workdir.glob('slurm/*_submission.sh')]
        assert len(scripts) == 2 and any('#SBATCH --array=0-2%2' in script for script in scripts)
        states = [cohort[-1]['state'] for cohort in attempts(workdir) if cohort]
        assert set(states) <= {'preempted', 'done'}  # a cohort may be through before Slurm is asked
        done = command('lbexp.sweep', *arguments, folder=file.parent, env=cluster.environment)
        assert done.returncode == 0, done.stderr
    assert same(workdir, run)
    ends = [[one['state'] for one in cohort] for cohort in attempts(workdir)]
    assert all(states.count('done') == 1 for states in ends) and ends[killed][0] == 'running'
