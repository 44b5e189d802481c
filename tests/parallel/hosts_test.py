"""Several real processes train as one: the same curve, one voice, and no result lost with any of
them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from jobs import ROOT, Job, environment
from light_jobs import LIGHT
from training import rows

pytestmark = [pytest.mark.processes, pytest.mark.long]
# Of everything that could differ between processes: statistics, random numbers, state, weights.
EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(16,), batch_norm=True, dropout=0.1)
    c.optimizer = dict(name='lookahead', k=5, inner=dict(name='momentum', learning_rate=0.02))
    c.transforms = (dict(name='gradient_noise', kind='isotropic', eta=0.01, gamma=0.55),)
    c.example_weights = dict(name='example_weights', matched_batch_size=16)
    c.steps, c.batch_size, c.data_parallel = {steps}, 32, {shards}
    c.num_rows, c.num_evaluations, c.num_checkpoints = {rows}, 4, {rows} // 2
    return c
"""


SHARES = ('--config.sharding=fsdp', '--config.workload.hidden=(128,)')
APART = ('--config.data.partition=independent',)


@pytest.mark.long
@pytest.mark.parametrize(
    'shards, splits, more, tolerance',
    [
        (2, (1, 2), (*SHARES, *APART), 0),
        (4, (1, 2), (), 2e-6),
        pytest.param(2, (1, 2), (), 0, marks=pytest.mark.slow),
        pytest.param(4, (1, 4), (), 2e-6, marks=pytest.mark.slow),
    ],
)
def test_one_curve_however_the_devices_lie(tmp_path, shards, splits, more, tolerance):
    """Of two shards the sum is the same either way round: to the bit. Four are added in another
    order by Gloo."""
    (tmp_path / 'experiment.py').write_text(EXPERIMENT.format(steps=30, rows=6, shards=shards))
    curves = []
    for processes in splits:
        workdir = tmp_path / str(processes)
        hosts = ['--config.data.hosts=2'] if processes == 1 else []  # two processes are two hosts
        with Job(
            processes, f'--config={tmp_path}/experiment.py', f'--workdir={workdir}', *more, *hosts
        ) as job:
            ended = job.end()
        assert [status for status, *_ in ended] == [0] * processes, ended
        for i, (_, printed, _) in enumerate(ended):
            told = (
                f'process {i} of {processes} on host {os.uname().nodename}: '
                f'{shards // processes} of {shards} devices'
            )
            assert (told in printed) == (processes > 1)
            assert ('report:' in printed) == (i == 0)
        curves.append(rows(workdir))
        assert (workdir / 'report.html').exists()
    assert len(curves[0]) == 6 and curves[0][-1]['loss'] < curves[0][0]['loss']
    for curve in curves[1:]:
        assert curve == [pytest.approx(row, rel=tolerance, abs=0) for row in curves[0]]


def test_trials_lie_on_all_processes(tmp_path):
    """Three trials on devices of two processes: whichever has none trains for no tick, and every
    trial is there."""
    experiment = LIGHT.format(steps=30, rows=6, shards=None)
    experiment = experiment.replace(
        '    return c', ("    c.sweep = (('seed', (0, 1, 2)),)\n    return c")
    )
    (tmp_path / 'experiment.py').write_text(experiment)
    arguments = [f'--config={tmp_path}/experiment.py', f'--workdir={tmp_path}/two', '--figures=']
    with Job(2, *arguments) as job:
        assert [status for status, *_ in job.end()] == [0, 0]
    found = rows(tmp_path / 'two')
    assert [sum(row['trial'] == trial for row in found) for trial in range(3)] == [6, 6, 6]
    assert len({row['loss'] for row in found if row['step'] == 30}) == 3


@pytest.mark.long
@pytest.mark.parametrize('told', [pytest.param(0, marks=pytest.mark.slow), 1])
def test_sigterm_to_one_process_stops_all_at_one_step(tmp_path, long_run, told):
    experiment, whole = long_run
    arguments = [f'--config={experiment}', f'--workdir={tmp_path}', '--figures=']
    with Job(2, *arguments) as job:
        job.wait_for_rows(tmp_path, 5)
        job.processes[told].send_signal(signal.SIGTERM)
        ended = job.end(60)
    assert [status for status, *_ in ended] == [75, 75], ended
    assert 'run the same command again' in ended[0][1]
    step = json.loads((tmp_path / 'status.json').read_text())['trials']['0']['step']
    assert 0 < step < 240
    with Job(2, *arguments) as job:
        assert [status for status, *_ in job.end()] == [0, 0]
    assert rows(tmp_path) == whole


@pytest.mark.long
@pytest.mark.parametrize(
    'disturbances',
    [
        [(0, signal.SIGKILL), (1, signal.SIGSTOP)],
        pytest.param([(1, signal.SIGKILL), (0, signal.SIGSTOP)], marks=pytest.mark.slow),
    ],
)
def test_a_lost_process_ends_the_job_and_the_same_command_goes_on(tmp_path, long_run, disturbances):
    """kill -9; then SIGSTOP, which only the heartbeat sees; at last the curve is the undisturbed
    one."""
    experiment, whole = long_run
    arguments = [f'--config={experiment}', f'--workdir={tmp_path}', '--figures=']
    for lost, number in disturbances:
        with Job(2, *arguments) as job:
            job.wait_for_rows(tmp_path, 5)
            job.processes[lost].send_signal(number)
            began = time.monotonic()
            _, problem = job.processes[1 - lost].communicate(timeout=300)
            assert job.processes[1 - lost].returncode == 76, problem
            assert f'lost another process of the job: process {lost} (host ' in problem
            assert time.monotonic() - began < 40
    with Job(2, *arguments) as job:
        assert [status for status, *_ in job.end()] == [0, 0]
    assert rows(tmp_path) == whole


def test_a_dispatch_that_hangs_is_ended_with_the_stacks(tmp_path):
    (tmp_path / 'stuck.py').write_text(
        """
import time, jax, jax.numpy as jnp, optax
def stuck(after=50):
    wait = lambda count: time.sleep(1000) if count == after else None
    def update(updates, state, params=None):
        jax.debug.callback(wait, state)
        return updates, state + 1
    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)
"""
    )
    experiment = LIGHT.format(steps=2000, rows=200, shards=None)
    line = "    c.transforms = (dict(name='stuck:stuck'),)\n"
    stuck = experiment.replace('    return c', f'{line}    return c')
    (tmp_path / 'experiment.py').write_text(stuck)
    arguments = [
        f'--config={tmp_path}/experiment.py',
        f'--workdir={tmp_path}/run',
        '--config.watchdog=2',
    ]
    how = dict(cwd=ROOT, capture_output=True, text=True, timeout=300)
    paths = f'{tmp_path}{os.pathsep}{os.environ.get("PYTHONPATH", "")}'
    done = subprocess.run(
        [sys.executable, '-m', 'lbexp.main', *arguments], env=environment(PYTHONPATH=paths), **how
    )
    assert done.returncode == 77, done.stderr
    assert 'the run hangs' in done.stderr and 'in dispatch' in done.stderr
