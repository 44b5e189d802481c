"""Jobs of several processes that are refused: they differ, or have no workdir of their own."""

import json
import shutil
import subprocess

import pytest
from jobs import Job
from light_jobs import LIGHT
from training import rows

from lbexp import main

pytestmark = [pytest.mark.processes, pytest.mark.long]


def refused(job):
    ended = job.end(60)
    assert [status for status, *_ in ended] == [2] * len(ended), ended
    return '\n'.join(error for _, _, error in ended)


def test_processes_that_differ_are_refused(tmp_path, long_run):
    experiment, _ = long_run
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


def test_a_workdir_that_is_not_shared_is_refused(tmp_path, long_run, apart):
    """The second process sees a file system of its own at the same path."""
    experiment, _ = long_run
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


def test_a_second_job_in_the_workdir_is_refused(tmp_path, long_run):
    experiment, _ = long_run
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
