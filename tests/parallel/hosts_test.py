"""Several real processes train as one: the same curve, one voice, and no result lost with any of
them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from jobs import ROOT, Job, environment
from training import rows

from lbexp import main

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


# Compiled in a moment, for jobs that are disturbed.
LIGHT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='digits_mlp', hidden=(16,), dropout=0.1)
    c.optimizer = dict(name='momentum', learning_rate=0.02)
    c.steps, c.batch_size, c.data_parallel = {steps}, 32, {shards}
    c.num_rows, c.num_evaluations, c.num_checkpoints = {rows}, 1, {rows} // 4
    return c
"""


@pytest.fixture(scope='module')
def long(tmp_path_factory):
    """An experiment of some seconds, and the rows of its undisturbed run in one process."""
    folder = tmp_path_factory.mktemp('long')
    (folder / 'experiment.py').write_text(LIGHT.format(steps=240, rows=60, shards=2))
    command = [
        sys.executable,
        '-m',
        'lbexp.main',
        f'--config={folder}/experiment.py',
        f'--workdir={folder}/whole',
        '--figures=',
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=environment())
    return folder / 'experiment.py', rows(folder / 'whole')


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
def test_sigterm_to_one_process_stops_all_at_one_step(tmp_path, long, told):
    experiment, whole = long
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
def test_a_lost_process_ends_the_job_and_the_same_command_goes_on(tmp_path, long, disturbances):
    """kill -9; then SIGSTOP, which only the heartbeat sees; at last the curve is the undisturbed
    one."""
    experiment, whole = long
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


def refused(job):
    ended = job.end(60)
    assert [status for status, *_ in ended] == [2] * len(ended), ended
    return '\n'.join(error for _, _, error in ended)


def test_processes_that_differ_are_refused(tmp_path, long):
    experiment, _ = long
    arguments = [f'--config={experiment}', f'--workdir={tmp_path}']
    with Job(2, *arguments, own={1: ['--config.batch_size=64']}) as job:
        assert 'batch_size: 32 on process 0, 64 on process 1' in refused(job)
    assert not (tmp_path / 'metrics.jsonl').exists()


@pytest.fixture
def apart():
    """A start of the command in a view of its own of the file system, which a shell command has
    changed."""

    def start(change):
        return ['unshare', '--mount', 'sh', '-c', f'{change} && exec "$@"', 'sh']

    if shutil.which('unshare') is None:
        pytest.skip('unshare: not on this machine')
    probe = subprocess.run(
        [*start('mount -t tmpfs none /mnt'), 'true'], capture_output=True, text=True
    )
    if probe.returncode:
        pytest.skip(f'needs the right to mount: {probe.stderr}')
    return start


def test_a_workdir_that_is_not_shared_is_refused(tmp_path, long, apart):
    """The second process sees a file system of its own at the same path."""
    experiment, _ = long
    (tmp_path / 'run').mkdir()
    other = apart(f'mount -t tmpfs none {tmp_path}/run')
    with Job(2, f'--config={experiment}', f'--workdir={tmp_path}/run', before={1: other}) as job:
        assert 'not the folder of process 0 on processes [1]' in refused(job)


@pytest.mark.long
def test_what_one_process_finds_damaged_none_goes_on_from(tmp_path, apart):
    """The second sees zeros in files of the newest checkpoint: both take the older one. In all of
    them: both end."""
    (tmp_path / 'experiment.py').write_text(LIGHT.format(steps=30, rows=6, shards=2))
    arguments = [
        f'--config={tmp_path}/experiment.py',
        f'--workdir={tmp_path}/run',
        '--config.num_checkpoints=3',
        '--figures=',
    ]
    with Job(1, *arguments) as job:
        assert job.end()[0][0] == 0
    whole, status = rows(tmp_path / 'run'), tmp_path / 'run' / 'status.json'
    begun = json.loads(status.read_text())
    begun['trials']['0']['status'] = 'running'
    folder = tmp_path / 'run' / 'checkpoints' / 'trial-00000'
    for steps, expected in [([30], 0), ([20, 30], 3)]:
        status.write_text(json.dumps(begun))
        (tmp_path / 'zeros').write_bytes(bytes(100))
        files = [
            file for step in steps for file in (folder / str(step)).rglob('*') if file.is_file()
        ]
        assert len(files) > 5 * len(steps)
        rotten = ' && '.join(f"mount --bind {tmp_path}/zeros '{file}'" for file in files)
        with Job(2, *arguments, before={1: apart(rotten)}) as job:
            ended = job.end()
        assert [one for one, *_ in ended] == [expected] * 2, ended
        said = ended[0][1] + ended[0][2]
        assert ('is damaged' in said) and ('no usable checkpoint' in said) == (expected == 3)
        assert rows(tmp_path / 'run') == whole
        assert (
            sorted(int(step.name.split('-')[-1]) for step in (folder.parent / 'damaged').iterdir())
            == steps
        )


def test_a_second_job_in_the_workdir_is_refused(tmp_path, long):
    experiment, _ = long
    arguments = [f'--config={experiment}', f'--workdir={tmp_path}']
    with Job(2, *arguments) as job:
        job.wait_for_rows(tmp_path)
        with Job(2, *arguments) as second:
            assert f'in use by process {job.processes[0].pid} on host' in refused(second)


@pytest.mark.parametrize(
    'given, more, said',
    [
        ([], {'SLURM_JOB_ID': '7', 'SLURM_NTASKS': '2'}, 'Start it with srun'),
        (
            [],
            {'OMPI_COMM_WORLD_SIZE': '2', 'OMPI_COMM_WORLD_RANK': '0'},
            '--coordinator_address=HOST:PORT',
        ),
        (['--distributed=on'], {}, 'no launcher was found'),
        (['--distributed=yes'], {}, "allowed: 'auto', 'on', 'off'"),
        (
            ['--distributed=off', '--process_id=1'],
            {},
            ('--distributed: found off with --process_id=1'),
        ),
        ([], {'OMPI_MCA_orte_hnp_uri': '7.0;tcp'}, 'ompi does not say where this process stands ('),
        (['--num_processes=0'], {}, 'num_processes'),
    ],
)
def test_one_process_where_several_are_meant(tmp_path, monkeypatch, capsys, given, more, said):
    (tmp_path / 'experiment.py').write_text(LIGHT.format(steps=1, rows=4, shards=1))
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    arguments = [f'--config={tmp_path}/experiment.py', f'--workdir={tmp_path}/run', *given]
    assert main.main(['main', *arguments]) == 2
    problem = capsys.readouterr().err
    assert said in problem and 'Traceback' not in problem and not (tmp_path / 'run').exists()
