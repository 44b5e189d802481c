"""Losing things: rotten checkpoints, two runs in one workdir, runs that diverge. No silent wrong
result."""

import json
import pathlib
import random
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from orbax.checkpoint import v1 as ocp
from training import rows, tiny, train

from lbexp import exit_status, main
from lbexp.engine import seal
from lbexp.engine.checkpoint import Checkpoints
from lbexp.engine.lock import lock
from lbexp.engine.status import statuses
from lbexp.errors import Damaged

pytestmark = [
    pytest.mark.usefixtures('collected', 'shared_programs'),
    pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning'),
]

ROOT = pathlib.Path(__file__).parents[2]
TREE = {
    'a': np.arange(3000, dtype=np.float32),
    'b': np.int32(7),
    'empty': np.zeros((0, 4), np.float32),
}


def saved(folder, steps):
    checkpoints = Checkpoints(folder / 'trial-00000')
    for step in steps:
        checkpoints.save(step, {**TREE, 'b': np.int32(step)})
        checkpoints.wait()
    checkpoints.close()


def restored(folder):
    """(tree or None, warnings)."""
    told = []
    checkpoints = Checkpoints(folder / 'trial-00000', warn=told.append)
    try:
        return checkpoints.restore(TREE), told
    finally:
        checkpoints.close()


def flip(file, generator):
    content = bytearray(file.read_bytes())
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    file.write_bytes(content)


def cut(file, generator):
    content = file.read_bytes()
    file.write_bytes(content[: generator.randrange(len(content))])


def delete(file, generator):
    file.unlink()


def test_damage_of_any_file_is_never_restored(tmp_path):
    """Bits flipped, files cut and deleted in every file of the newest checkpoint: it, or the older
    one, or an error."""
    saved(tmp_path / 'sound', [1, 2])
    newest = tmp_path / 'sound' / 'trial-00000' / '2'
    files = [
        file.relative_to(tmp_path / 'sound') for file in sorted(newest.rglob('*')) if file.is_file()
    ]
    cases = [
        (file, how, n)
        for file in files
        for how in (flip, cut, delete)
        for n in range(3 if how is flip else 1)
    ]
    assert len(cases) >= 50
    noticed = set()
    for number, (file, how, _) in enumerate(cases):
        folder = tmp_path / 'case'
        shutil.copytree(tmp_path / 'sound', folder)
        if (folder / file).stat().st_size or how is delete:
            how(folder / file, random.Random(number))
        tree, told = restored(folder)
        assert np.array_equal(tree['a'], TREE['a']) and tree['empty'].shape == (0, 4)
        assert int(tree['b']) in (1, 2)
        if int(tree['b']) == 1:  # the older one serves, and the newest is out of the way
            assert told or not (folder / 'trial-00000' / '2').exists()
            noticed.add((file.name, how))
        shutil.rmtree(folder)
    # How many small files there are, and which of them nobody reads, is Orbax's affair; what holds
    # the arrays is not.
    assert {('manifest.ocdbt', how) for how in (flip, cut, delete)} <= noticed
    large = [
        file.name
        for file in files
        if (tmp_path / 'sound' / file).stat().st_size > TREE['a'].nbytes / 2
    ]
    assert large and {(name, delete) for name in large} <= noticed


def test_a_damaged_checkpoint_is_quarantined_and_the_older_one_used(tmp_path):
    saved(tmp_path, [1, 2])
    for file in (tmp_path / 'trial-00000' / '2').rglob('*'):
        if file.is_file() and file.stat().st_size > 500:
            file.write_bytes(file.read_bytes()[:100])
    tree, (line,) = restored(tmp_path)
    assert int(tree['b']) == 1
    assert 'is damaged' in line and str(tmp_path / 'damaged' / 'trial-00000-2') in line
    assert (tmp_path / 'damaged' / 'trial-00000-2').is_dir()
    saved(tmp_path, [2])  # the step can be saved anew
    tree, told = restored(tmp_path)
    assert int(tree['b']) == 2 and told == []


def test_without_a_sound_checkpoint_nothing_is_restored(tmp_path):
    assert restored(tmp_path) == (None, [])
    saved(tmp_path, [1, 2])
    for file in (tmp_path / 'trial-00000').rglob('*'):
        if file.is_file():
            file.write_bytes(b'')
    with pytest.raises(Damaged, match='no usable checkpoint is left'):
        restored(tmp_path)


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


def poisoned(after=10):
    """A transform whose updates are NaN from then on; the loss of the update that it spoils is
    still a number."""

    def spoil(count, update):
        return jnp.where(count >= after, jnp.nan, update)

    def update(updates, count, params=None):
        return (
            jax.tree.map(lambda u: spoil(count, u), updates),
            count + 1,
        )

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


def test_nan_never_overwrites_a_good_checkpoint(tmp_path):
    """The 12th update spoils the parameters, and a checkpoint is due: what is kept are those of 8
    updates and of 4."""
    config = tiny(num_checkpoints=6, transforms=(dict(name=f'{__name__}:poisoned', after=11),))
    train(config, tmp_path)
    assert statuses(tmp_path)[0]['status'] == 'diverged'
    folder = tmp_path / 'checkpoints' / 'trial-00000'
    assert sorted(int(step.name) for step in folder.iterdir()) == [4, 8]
    for step in folder.iterdir():
        saved = {
            path: np.asarray(array) for path, array in ocp.load(step).items() if 'params' in path
        }
        assert saved and all(np.isfinite(array).all() for array in saved.values())


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


def test_a_checkpoint_is_called_complete_when_its_files_are_on_the_disk(tmp_path):
    """status.json says 'saved' by this: said too early, a run that is killed now would be refused
    for ever."""
    checkpoints, complete = Checkpoints(tmp_path / 'trial'), []
    checkpoints.completed = lambda step: complete.append(
        (step, seal.broken(tmp_path / 'trial' / str(step)))
    )
    for step in (1, 2):
        checkpoints.save(step, TREE)
        checkpoints.wait()
    checkpoints.close()
    assert complete == [(1, ''), (2, '')]
