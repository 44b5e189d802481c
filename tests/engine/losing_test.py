"""Losing things: two runs in one workdir, runs that diverge, another configuration. No silent wrong
result."""

import json
import pathlib
import subprocess
import sys

import pytest
from training import rows, tiny, train

from lbexp import exit_status, main
from lbexp.engine.lock import lock

pytestmark = [
    pytest.mark.usefixtures('collected', 'shared_programs'),
    pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning'),
]


ROOT = pathlib.Path(__file__).parents[2]
EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='linear_regression', size=100)
    c.optimizer = dict(name='momentum', learning_rate={rate})
    c.steps, c.batch_size, c.num_rows, c.num_evaluations, c.num_checkpoints = 40, 10, 8, 2, 4
    return c
"""


def run(tmp_path, rate=0.05):
    (tmp_path / 'experiment.py').write_text(EXPERIMENT.format(rate=rate))
    return main.main(['main', f'--config={tmp_path}/experiment.py', f'--workdir={tmp_path}/run'])


def test_a_run_goes_on_from_the_older_checkpoint_to_the_same_end(tmp_path):
    config = tiny(num_checkpoints=6, sweep=(('seed', (0, 1)),))
    whole = train(config, tmp_path / 'whole')
    left = iter([False] * 2)
    train(config, tmp_path / 'cut', should_stop=lambda: next(left, True))
    folder = tmp_path / 'cut' / 'checkpoints' / 'trial-00000'
    newest = max(int(step.name) for step in folder.iterdir())
    for file in (folder / str(newest)).rglob('*'):
        if file.is_file() and file.stat().st_size > 500:
            file.write_bytes(file.read_bytes()[:100])
    told = []
    train(config, tmp_path / 'cut', log=told.append)
    assert any('is damaged' in line for line in told)
    assert rows(tmp_path / 'cut') == whole


@pytest.mark.long
def test_no_usable_checkpoint_is_exit_3(tmp_path, capsys):
    assert run(tmp_path) == 0
    status = json.loads((tmp_path / 'run' / 'status.json').read_text())
    status['trials']['0']['status'] = 'running'
    (tmp_path / 'run' / 'status.json').write_text(json.dumps(status))
    before = (tmp_path / 'run' / 'metrics.jsonl').read_bytes()
    for file in (tmp_path / 'run' / 'checkpoints').rglob('*'):
        if file.is_file():
            file.write_bytes(b'')
    assert run(tmp_path) == exit_status.NO_CHECKPOINT
    assert 'no usable checkpoint' in capsys.readouterr().err
    assert (tmp_path / 'run' / 'metrics.jsonl').read_bytes() == before  # not silently from scratch


def test_a_run_that_diverges_says_so(tmp_path):
    assert run(tmp_path, rate=1e30) == exit_status.DIVERGED
    assert (
        json.loads((tmp_path / 'run' / 'status.json').read_text())['trials']['0']['status']
        == 'diverged'
    )


@pytest.mark.long
@pytest.mark.processes
def test_two_runs_in_one_workdir(tmp_path, capsys):
    """The second is refused, and told who has it; the lock of a killed process is nobody's."""
    holder = (
        'import sys, pathlib, time; from lbexp.engine.lock import lock\nwith '
        'lock(pathlib.Path(sys.argv[1])):\n'
    )
    holder += '    print("held", flush=True); time.sleep(60)'
    command = [sys.executable, '-c', holder, str(tmp_path / 'run')]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    assert run(tmp_path) == 2
    assert f'in use by process {process.pid} on host' in capsys.readouterr().err
    process.kill()
    process.wait()
    process.stdout.close()
    assert run(tmp_path) == 0
    with lock(tmp_path / 'run'), pytest.raises(ValueError, match='in use'), lock(tmp_path / 'run'):
        pass


@pytest.mark.long
def test_a_changed_configuration(tmp_path, capsys):
    """What is watched may change; what is computed only on demand, and then the run goes on towards
    its new end."""
    assert run(tmp_path) == 0
    arguments = ['main', f'--config={tmp_path}/experiment.py', f'--workdir={tmp_path}/run']
    changed = [*arguments, '--config.optimizer.learning_rate=0.01', '--config.steps=80']
    before = (tmp_path / 'run' / 'metrics.jsonl').read_bytes()
    assert main.main(changed) == 2
    problem = capsys.readouterr().err
    assert (
        'optimizer.learning_rate: 0.05 there, 0.01 now' in problem
        and ('steps: 40 there, 80 now') in problem
    )
    assert '--allow_config_change' in problem and '--workdir' in problem
    assert (tmp_path / 'run' / 'metrics.jsonl').read_bytes() == before
    assert main.main([*arguments, '--config.num_checkpoints=8']) == 0
    assert (
        'changed since the run was begun: num_checkpoints: 4 there, 8 now'
        in capsys.readouterr().out
    )
    assert main.main([*changed, '--config.num_checkpoints=8', '--allow_config_change']) == 0
    assert 'optimizer.learning_rate: 0.05 there, 0.01 now' in capsys.readouterr().out
    found = rows(tmp_path / 'run')
    assert [row['step'] for row in found] == [*range(5, 41, 5), *range(50, 81, 10)]
    assert [row['learning_rate'] for row in found[-4:]] == [pytest.approx(0.01)] * 4
    told = json.loads((tmp_path / 'run' / 'config.json').read_text())['changes']
    assert told == [
        {'num_checkpoints': [4, 8]},
        {'optimizer.learning_rate': [0.05, 0.01], 'steps': [40, 80]},
    ]


@pytest.mark.long
def test_a_changed_model_is_refused_even_so(tmp_path, capsys):
    assert run(tmp_path) == 0
    arguments = [
        'main',
        f'--config={tmp_path}/experiment.py',
        f'--workdir={tmp_path}/run',
        '--allow_config_change',
    ]
    assert main.main([*arguments, '--config.workload.weights=(1.0, 2.0)', '--config.steps=80']) == 2
    problem = capsys.readouterr().err
    assert 'hold other arrays than this configuration trains' in problem and '--workdir' in problem
    # nothing was quarantined
    assert len(list((tmp_path / 'run' / 'checkpoints' / 'trial-00000').iterdir())) == 2
