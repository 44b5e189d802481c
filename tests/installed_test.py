"""What a stranger has: the wheel that pip installs, in a folder without the repository; and each
thing that the README says can be done, from there."""

import ast
import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import numpy as np
import pytest
from jobs import ROOT, environment
from PIL import Image
from training import TIMES

pytestmark = [pytest.mark.long, pytest.mark.processes]

NETS = """
import equinox as eqx
import flax.linen as nn
import jax
from flax import nnx

class Linen(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(16)(x.reshape(len(x), -1)))
        return nn.Dense(self.outputs)(x)

class NNX(nnx.Module):
    def __init__(self, outputs, shape, rngs):
        self.first = nnx.Linear(shape[0] * shape[1], 16, rngs=rngs)
        self.last = nnx.Linear(16, outputs, rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.relu(self.first(x.reshape(len(x), -1))))

class Equinox(eqx.Module):
    mlp: eqx.nn.MLP

    def __init__(self, outputs, key):
        self.mlp = eqx.nn.MLP(64, outputs, 16, 1, key=key)

    def __call__(self, x):
        return self.mlp(x.reshape(-1))


def init(key, outputs):
    return {'kernel': 0.1 * jax.random.normal(key, (64, outputs))}

def apply(params, x):
    return x.reshape(len(x), -1) @ params['kernel']


Pair = init, apply
"""
MODELS = ('Linen', 'NNX', 'Equinox', 'Pair')
FROM_PYTHON = """
import json, lbexp
import numpy as np
result = lbexp.run('lamb', {'epochs': 1.0}, workdir='lamb', show=False)
trial = lbexp.open('lamb').trial(0)
images = np.zeros((5, 8, 8, 1), np.uint8)
told = {
    'package': lbexp.__file__,
    'report': result.report.read_text()[:15],
    'rows': len(result.table()),
    'lines': len(result.figure('test_accuracy').axes[0].lines),
    'outputs': trial.predict(images).tolist(),
    'step': trial.step,
    'accuracy': trial.metrics['test_accuracy'],
}
print(json.dumps(told))
"""


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp('wheel')
    ignored = shutil.ignore_patterns('.git', 'runs', 'build', '*.egg-info', '__pycache__')
    source = shutil.copytree(ROOT, folder / 'source', ignore=ignored)
    build = ['wheel', '--no-deps', '--quiet', '--wheel-dir', str(folder), str(source)]
    subprocess.run([sys.executable, '-m', 'pip', *build], check=True, capture_output=True)
    (file,) = folder.glob('*.whl')
    return file


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory):
    """That of an environment with the wheel and, for what it depends on, these tests' packages."""
    folder = tmp_path_factory.mktemp('environment')
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(folder)], check=True)
    (packages,) = folder.glob('lib/python*/site-packages')
    there = {sysconfig.get_path(name) for name in ('purelib', 'platlib')}
    # after those of the environment itself, and without what .pth files in them would add
    (packages / 'dependencies.pth').write_text('\n'.join(sorted(there)) + '\n')
    install = ['install', '--no-deps', '--no-index', '--quiet', str(wheel)]
    pip = [sys.executable, '-m', 'pip', '--python', str(folder), *install]
    subprocess.run(pip, check=True, capture_output=True)
    return folder / 'bin' / 'python'


@pytest.fixture(scope='module')
def stranger(python, tmp_path_factory):
    """(arguments of python, exit status=0) -> what it prints, in a folder that holds nothing of
    lbexp; `stranger.folder`."""
    folder = tmp_path_factory.mktemp('stranger')
    variables = environment(XDG_CACHE_HOME=str(folder / 'cache'))
    variables.pop('PYTHONPATH', None)

    def command(*arguments, status=0):
        done = subprocess.run(
            [python, *arguments], cwd=folder, env=variables, capture_output=True, text=True
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    command.folder = folder
    return command


def train(stranger, workdir, config, *fields):
    """A short run by the command."""
    flags = [f'--config.{field}' for field in fields]
    main = ('-m', 'lbexp.main', f'--config={config}', f'--workdir={workdir}', '--figures=')
    return stranger(*main, *flags)


@pytest.fixture(scope='module')
def from_python(stranger):
    """What the script says, of which the workdir is lamb/."""
    (stranger.folder / 'script.py').write_text(FROM_PYTHON)
    (line,) = [line for line in stranger('script.py').splitlines() if line.startswith('{')]
    return json.loads(line)


@pytest.fixture(scope='module')
def sweep(stranger):
    """What the commands print that write and run an experiment, whose workdir is sweep/."""
    told = stranger('-m', 'lbexp.new', 'my_experiment.py')
    assert told == 'my_experiment.py: python -m lbexp.main --config=my_experiment.py\n'
    return stranger(
        '-m', 'lbexp.main', '--config=my_experiment.py', '--config.epochs=1', '--workdir=sweep'
    )


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    files = {str(file.relative_to(ROOT)) for file in (ROOT / 'lbexp').rglob('*.py')}
    experiments = {f'lbexp/experiments/{file.name}' for file in ROOT.glob('experiments/*.py')}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert files <= names
    assert {name for name in names if name.startswith('lbexp/experiments/')} == experiments


def test_a_name_that_is_none(stranger):
    told = stranger('-m', 'lbexp.main', '--config=lam', status=2)
    assert "no file 'lam'; allowed: an experiment file. Did you mean 'lamb'?" in told


def table(folder):
    generator = np.random.default_rng(0)
    lines = ['length,width,species']
    for length, width in generator.normal(5, 1, (60, 2)).round(3).tolist():
        lines.append(f'{length},{width},{"rose" if length > width else "lily"}')
    (folder / 'flowers.csv').write_text('\n'.join(lines) + '\n')
    return 'flowers.csv'


def archive(folder):
    generator = np.random.default_rng(0)
    inputs = generator.normal(0, 1, (60, 3)).astype(np.float32)
    np.savez(folder / 'arrays.npz', x=inputs, y=(inputs[:, 0] > 0).astype(np.int64))
    return 'arrays.npz'


def pictures(folder):
    generator = np.random.default_rng(0)
    for kind, brightness in (('day', 200), ('night', 20)):
        (folder / 'photos' / kind).mkdir(parents=True)
        for number in range(10):
            pixels = generator.integers(0, 50, (6, 6, 3)) + brightness
            picture = Image.fromarray(pixels.astype(np.uint8))
            picture.save(folder / 'photos' / kind / f'{number}.png')
    return 'photos/'


@pytest.mark.parametrize('write', [table, archive, pictures])
def test_data_of_mine_without_code(stranger, write):
    data, name = write(stranger.folder), write.__name__
    workload = f"workload={{'name': 'classification', 'data': '{data}', 'model': 'mlp'}}"
    told = train(
        stranger, name, 'momentum', workload, 'batch_size=8', 'epochs=10', 'num_evaluations=1'
    )
    assert data in told
    read = f"import lbexp; print(lbexp.open('{name}').trial(0).metrics['test_accuracy'])"
    assert float(stranger('-c', read)) > 0.7


def test_models_of_mine_in_a_file_of_mine(stranger):
    """One of each kind, in 15 lines or fewer, as trials of one command."""
    (stranger.folder / 'nets.py').write_text(NETS)
    for node in ast.parse(NETS).body:
        assert node.end_lineno - node.lineno < 15
    names = [f'nets:{name}' for name in MODELS]
    sweep = f"sweep=[('workload.model', {names})]"
    workload = "workload={'name': 'classification', 'data': 'digits', 'model': 'nets:Linen'}"
    told = train(stranger, 'models', 'momentum', workload, sweep, 'epochs=3')
    page = (stranger.folder / 'models' / 'report.html').read_text()
    assert all(name in page for name in names) and '4 trials' in told
    query = '--sql=select "workload.model", test_accuracy from final'
    answers = stranger('-m', 'lbexp.results', 'models', query)
    for name in names:
        (line,) = [line for line in answers.splitlines() if name in line]
        assert float(line.split()[-1]) > 0.5


def test_python_is_first_class(from_python, python):
    assert from_python['package'].startswith(str(python.parent.parent))
    assert from_python['report'] == '<!DOCTYPE html>'
    assert from_python['rows'] == from_python['step'] == 12 and from_python['lines']
    assert 0 < from_python['accuracy'] <= 1


def test_the_trained_network_is_mine(from_python, stranger):
    assert np.shape(from_python['outputs']) == (5, 10)
    told = stranger('-m', 'lbexp.evaluate', '--workdir=lamb')
    assert 'accuracy' in told and f'{from_python["accuracy"]:.3g}' in told
    stranger('-m', 'lbexp.export', '--workdir=lamb', '--format=npz', '--to=lamb.npz')
    with np.load(stranger.folder / 'lamb.npz') as arrays:
        assert any(name.endswith('/kernel') for name in arrays)


def test_a_finished_run_becomes_longer(stranger):
    """At a constant rate, without a choice that somebody would have to make."""
    schedule = "schedule={'name': 'constant'}"
    for epochs in (1, 2):
        train(stranger, 'longer', 'momentum', schedule, f'epochs={epochs}')
    train(stranger, 'at_once', 'momentum', schedule, 'epochs=2')
    ends = []
    for name in ('longer', 'at_once'):
        end = json.loads((stranger.folder / name / 'metrics.jsonl').read_text().splitlines()[-1])
        ends.append({column: end[column] for column in end if column not in TIMES})
    assert ends[0] == ends[1] and ends[0]['step'] == 23


def test_what_there_is(stranger):
    told = stranger('-m', 'lbexp.list')
    assert 'optimizers' in told and 'lamb' in told and 'learning_rate_range' in told
    told = stranger('-m', 'lbexp.list', 'experiments', 'lamb')
    assert '/site-packages/lbexp/experiments/lamb.py' in told
    told = stranger('-m', 'lbexp.main', '--help')
    assert '--config' in told and '--config.batch_size=64' in told


def test_an_experiment_that_was_written_for_me_says_what_is_best(sweep, stranger):
    best = 'Best of 3 configurations by test accuracy: learning_rate '
    assert best in sweep
    page = (stranger.folder / 'sweep' / 'report.html').read_text()
    assert best in page


def test_runs_side_by_side(sweep, from_python, stranger):
    stranger('-m', 'lbexp.compare', 'lamb', 'sweep', '--figures=')
    page = (stranger.folder / 'comparison' / 'report.html').read_text()
    assert 'lamb' in page and 'sweep' in page and 'optimizer.name' in page
    report = stranger.folder / 'sweep' / 'report.html'
    before = report.read_text()
    report.unlink()
    stranger('-m', 'lbexp.report', '--workdir=sweep')
    assert len(report.read_text()) > len(before) / 2
    told = stranger(
        '-m', 'lbexp.results', '.', '--sql=select workdir, count(*) from final group by workdir'
    )
    assert 'lamb' in told and 'sweep' in told


def test_rows_elsewhere_and_where_the_time_goes(stranger):
    flags = ('--trackers=tensorboard', '--profile=2:4', '--workdir=watched', '--figures=')
    stranger('-m', 'lbexp.main', '--config=momentum', '--config.epochs=1', *flags)
    folder = stranger.folder / 'watched'
    assert list(folder.glob('tensorboard/**/events.out.tfevents.*'))
    assert list(folder.glob('profile/**/perfetto_trace.json.gz'))


def test_which_learning_rates_are_worth_a_search(stranger):
    train(stranger, 'range', 'learning_rate_range', 'steps=40', 'study.seeds=1')
    assert 'loss falls fastest' in (stranger.folder / 'range' / 'report.html').read_text()


def test_the_reference_is_installed(stranger):
    """The site is built from the repository; what is installed says itself what there is."""
    told = stranger('-m', 'lbexp.list', 'optimizers', 'lamb')
    assert 'learning_rate' in told and '1904.00962' in told
    told = stranger('-c', 'import lbexp; help(lbexp.run)')
    assert 'RunFailed' in told and 'overrides' in told
