"""Cohorts on a real Ray and a real two-node Slurm: a killed worker is replaced, the results are the
same."""

import importlib.util
import os

import pytest
from jobs import environment
from slurm import slurm
from sweeps import attempts, command, kill_one, same, start


def run_with_a_kill(workdir, file, executor, env):
    """A sweep of two workers, one of which is killed; what the sweep printed, and the cohort."""
    arguments = [
        f'--config={file}',
        f'--workdir={workdir}',
        f'--executor={executor}',
        '--workers=2',
        'run',
    ]
    process = start(*arguments, folder=file.parent, env=env)
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
    return told, arguments


def needs_package(name):
    """Where it is absent the test is skipped; under CI=true it fails."""
    if importlib.util.find_spec(name) is None:
        (pytest.fail if os.environ.get('CI') == 'true' else pytest.skip)(
            f'no package {name}: pip install {name}'
        )


def test_ray_with_a_killed_worker(tmp_path, direct):
    needs_package('ray')
    file, run = direct
    # A Ray of its own, whatever else runs on this machine.
    env = environment(RAY_ADDRESS='local', RAY_TMPDIR='/tmp')
    run_with_a_kill(tmp_path / 'run', file, 'ray', env)
    assert same(tmp_path / 'run', run)


def test_slurm_with_a_killed_task(tmp_path, direct):
    needs_package('submitit')
    file, run = direct
    with slurm() as cluster:
        told, arguments = run_with_a_kill(tmp_path / 'run', file, 'slurm', cluster.environment)
        assert same(tmp_path / 'run', run)
        scripts = [script.read_text() for script in tmp_path.glob('run/slurm/*_submission.sh')]
        assert len(scripts) == 2 and any('#SBATCH --array=0-2%2' in script for script in scripts)
        # Told to stop, what runs saves and what waits is taken from the queue.
        arguments[1] = f'--workdir={tmp_path}/stopped'
        process = start(*arguments, folder=file.parent, env=cluster.environment)
        kill_one(tmp_path / 'stopped', process, 0)
        process.terminate()
        told, _ = process.communicate(timeout=200)
        assert process.returncode == 75, told
        assert cluster.ask('squeue', '-h') == ''
        states = [cohort[-1]['state'] for cohort in attempts(tmp_path / 'stopped') if cohort]
        assert set(states) <= {'preempted', 'done'}  # a cohort may be through before Slurm is asked
        done = command('lbexp.sweep', *arguments, folder=file.parent, env=cluster.environment)
        assert done.returncode == 0, done.stderr
    assert same(tmp_path / 'stopped', run)
    assert all(
        [one['state'] for one in cohort].count('done') == 1
        for cohort in attempts(tmp_path / 'stopped')
    )
