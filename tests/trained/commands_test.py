"""The commands that evaluate and export; whose code runs when a workdir is opened."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from jobs import ROOT
from networks import BACKEND, MINE, files_of, one_line, set_config, trained
from training import tiny

import lbexp
from lbexp import evaluate, export
from lbexp.config import lookup
from lbexp.data.load import load
from lbexp.errors import Refusal


def test_the_command_evaluates(workdir, tmp_path, capsys):
    assert evaluate.main(['', f'--workdir={workdir}']) == 0
    printed = capsys.readouterr()
    assert printed.err.count('\n') == 1 and 'trial 3' in printed.err
    lines = [line.split() for line in printed.out.splitlines()]
    metrics = lbexp.open(workdir).trial(1).metrics
    expected = [f'{metrics[name]:.5g}' for name in ('test_accuracy', 'test_loss')]
    assert ['1', '31', *expected] in lines
    assert ['trial', 'step', 'accuracy', 'loss'] in lines
    np.savez(tmp_path / 'some.npz', **load('digits', 'test'))
    arguments = ['', f'--workdir={workdir}', '--trial=1', f'--data={tmp_path}/some.npz']
    assert evaluate.main(arguments) == 0
    assert ['1', '31', *expected] in [line.split() for line in capsys.readouterr().out.splitlines()]


WRONG = {
    'evaluate --trial=3': 'diverged',
    'evaluate --trial=9': 'trial: found 9',
    'evaluate --data=tests --trial=0': "--data: found 'tests'",
    'evaluate --data=folder --trial=0': "data: found 'folder'; allowed: an archive",
    'evaluate --data=torn.npz --trial=0': 'torn.npz: cannot be read',
    'evaluate --data=pickled.npz --trial=0': 'pickled.npz: cannot be read',
    'evaluate --data=other.npz --trial=0': 'data: found x; allowed: arrays named image, label',
    'evaluate --tral=0': '--tral=0: not a flag',
    'export --to=a': '--trial: not given with 4 trials',
    'export --trial=0': '--to: not given',
    'export --trial=0 --to=a --format=onnx': "format: found 'onnx'; allowed: safetensors, orbax",
    'export --trial=0 --to=none/a': 'found no folder none',
    'export --trial=0 --to=folder': 'found a folder; allowed: a file',
    'export --trial=0 --to=folder --format=orbax': 'it is there already',
    'export --trial=0 --to=gs://bucket/a': 'allowed: a folder or file of this machine',
    'export --trial=3 --to=a': 'diverged',
    'evaluate --config.seed=1': '--config.seed: given without --config',
}


@pytest.mark.parametrize('arguments', WRONG)
def test_what_is_wrong_is_told_in_a_line(workdir, tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'torn.npz').write_bytes(b'PK\x03\x04 and no more')
    np.savez(tmp_path / 'pickled.npz', image=np.array([{}], object))
    np.savez(tmp_path / 'other.npz', x=np.zeros(3))
    before = files_of(tmp_path)
    name, *flags = arguments.split()
    command = {'evaluate': evaluate, 'export': export}[name]
    assert command.main(['', f'--workdir={workdir}', *flags]) == 2
    assert WRONG[arguments] in one_line(capsys)
    assert files_of(tmp_path) == before


def named(name):
    def change(document):
        document['config']['workload'] = {'name': name, 'size': 100}

    return change


def test_nothing_that_a_workdir_names_runs(copied, mine, capsys, monkeypatch):
    # a module of this name may be there of another test
    monkeypatch.delitem(sys.modules, 'mine', raising=False)
    set_config(copied, named('mine:net'))
    for command, flags in ((evaluate, []), (export, [f'--to={mine}/a'])):
        assert command.main(['', f'--workdir={copied}', '--trial=0', *flags]) == 2
        line = one_line(capsys)
        assert 'names a workload outside lbexp' in line and '--trust_workdir' in line
    with pytest.raises(Refusal, match='outside lbexp'):
        lbexp.open(copied).trial(0)
    with pytest.raises(Refusal, match='outside lbexp'):
        lbexp.open(copied, trust_workdir=['other:net']).trial(0)
    assert not (mine / 'executed').exists() and 'mine' not in sys.modules


@pytest.mark.long
def test_the_users_own_workload(mine, capsys):
    config = tiny(workload=dict(name='mine:net'), num_checkpoints=0)
    workdir = trained(config, mine / 'run')
    (mine / 'experiment.py').write_text(
        'from lbexp import config\n\n\ndef get_config():\n    c = config.base()\n'
        "    c.workload = dict(name='mine:net')\n    return c\n"
    )
    with pytest.raises(Refusal, match='outside lbexp'):
        lbexp.open(workdir).trial()
    for flag in ('--trust_workdir', f'--config={mine}/experiment.py'):
        assert evaluate.main(['', f'--workdir={workdir}', flag]) == 0
    capsys.readouterr()
    for trust in (True, 'mine:net', ['mine:net']):
        trial = lbexp.open(workdir, trust_workdir=trust).trial()
        assert trial.evaluate()['loss'] == pytest.approx(trial.metrics['test_loss'], rel=1e-6)
        assert trial.predict(np.ones((3, 1), np.float32)).shape == (3,)
    with lookup.trusting(['mine:net']):
        assert lbexp.open(workdir).trial().step == 24
    # code that has changed is told; outputs are asked for where there are some
    (mine / 'mine.py').write_text(MINE + '\n\nMORE = 1\n')
    assert lbexp.open(workdir, trust_workdir=True).trial().step == 24
    assert "code of workload 'mine:net' (mine.py)" in one_line(capsys)
    for name, said in (('mine:silent', 'it has no outputs'), ('mine:wrong', 'predict gives shape')):
        refused = shutil.copytree(workdir, mine / name[5:])
        network = lbexp.open(refused, trust_workdir=True)
        with pytest.raises(Refusal, match=said):
            predict_as(network, name)


def predict_as(run, name):
    """What predict says where the workload is another one; its weights are of the same shapes."""
    from lbexp.engine.components import components
    from lbexp.trained._network import Network

    trial = run.trial()
    parts = components({**trial.config, 'workload': {'name': name}}, 24)
    Network(name, parts).predict(trial.params, trial.model_state, np.ones((3, 1), np.float32))


def test_other_arrays_than_the_code_trains(copied):
    """The model's code was changed since."""
    from lbexp.trained._home import Home

    home = Home(copied)
    from lbexp.engine.components import components

    wide = {**home.config(0), 'workload': {**BACKEND, 'weights': [1.0, 2.0]}}
    with pytest.raises(Refusal, match='other arrays than its configuration trains'):
        home.state(0, components(wide, 24))


@pytest.mark.processes
@pytest.mark.quick
def test_the_package_is_imported_without_jax():
    code = 'import sys, lbexp; print(sorted({"jax", "numpy", "absl"} & set(sys.modules)))'
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == '[]'
