"""A stranger's first hour: a table and a network of her own, from the command line to a prediction;
and what she is told where something is wrong."""

import contextlib
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from jobs import environment

import lbexp
from lbexp.errors import Refusal
from lbexp.main import main

EXPERIMENT = """
from lbexp import config
def get_config():
    c = config.base()
    c.workload = dict(name='classification', data='flowers.csv', model='nets:Net')
    c.optimizer = dict(name='optax:adam', learning_rate=0.01)
    c.batch_size, c.epochs = 16, 30.0
    return c
"""
NET = """
import jax
import flax.linen as nn
class Net(nn.Module):
    outputs: int
    @nn.compact
    def __call__(self, x):
        numbers = x['numeric']
        colours = jax.nn.one_hot(x['categorical'][:, 0], 4)
        x = jax.numpy.concatenate([numbers, colours], axis=1)
        return nn.Dense(self.outputs)(nn.relu(nn.Dense(8)(x)))
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    length, width = generator.normal(5, 1, (2, 200))
    colour = generator.choice(['red', 'white', 'blue'], 200)
    species = np.where(length + (colour == 'red') > 5.3, 'rose', 'lily')
    lines = ['length,width,colour,species']
    for row in zip(length.round(3), width.round(3), colour, species):
        lines.append(','.join(map(str, row)))
    (tmp_path / 'flowers.csv').write_text('\n'.join(lines) + '\n')
    (tmp_path / 'experiment.py').write_text(EXPERIMENT)
    (tmp_path / 'nets.py').write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return tmp_path


@pytest.mark.long
@pytest.mark.processes
def test_from_a_table_to_a_prediction(project, monkeypatch):
    monkeypatch.syspath_prepend(str(project))
    assert len(EXPERIMENT.strip().splitlines()) <= 15 and len(NET.strip().splitlines()) <= 15
    command = [sys.executable, '-m', 'lbexp.main', '--config=experiment.py', '--workdir=run']
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('flowers.csv: 160 train, 40 test (test: stratified, 0.2') == 1
    assert 'flowers.csv: inputs length numeric; width numeric; colour categorical of 3' in (
        done.stdout
    )
    schema = json.loads((project / 'run' / 'schema.json').read_text())['flowers.csv']
    assert sum(schema['label']['classes'].values()) == 200
    trial = lbexp.open(project / 'run', trust_workdir=['nets:Net', 'optax:adam']).trial(0)
    assert trial.output_names == ('lily', 'rose')
    assert trial.evaluate('test')['accuracy'] > 0.85
    rows = {'length': [3.0, 8.0], 'width': [5.0, 5.0], 'colour': ['blue', 'violet']}
    short, long = trial.predict(rows)
    assert short.argmax() == 0 and long.argmax() == 1
    with pytest.raises(Refusal, match='columns: found length; allowed: width among them'):
        trial.predict({'length': [3.0]})
    trial.export(project / 'net.npz', format='npz')
    assert 'params/Dense_0/kernel' in np.load(project / 'net.npz')


def refused(*overrides):
    """The lines that the command says as it ends with 2."""
    error = io.StringIO()
    arguments = ['lbexp', '--config=experiment.py', '--workdir=run', *overrides]
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        assert main(arguments) == 2
    return error.getvalue().splitlines()


def test_an_empty_text_as_label_is_one_line_and_as_input_a_category(project, monkeypatch):
    monkeypatch.syspath_prepend(str(project))
    lines = (project / 'flowers.csv').read_text().splitlines()
    (project / 'flowers.csv').write_text('\n'.join([*lines[:-1], '4.1,5.0,,lily']))
    assert main(['lbexp', '--config=experiment.py', '--workdir=empty', '--config.epochs=0.1']) == 0
    (project / 'flowers.csv').write_text('\n'.join([*lines[:-1], '4.1,5.0,red,']))
    (line,) = refused()
    assert "label 'species': found 1 missing of 200; allowed: none" in line
    assert not (project / 'run').exists()
    sys.modules.pop('nets', None)


# a data set of her own, of which a number is no id of what it says that there are
OUTSIDE = """
import numpy as np
from lbexp.data.source import memory
from lbexp.datasets import Dataset
from lbexp.inputs import Input, Target
def shelves(colours=3, kinds=2):
    arrays = {'colour': np.arange(60)[:, None] % 3, 'label': np.arange(60) % 2}
    inputs = {'colour': Input('categorical', (1,), 'int32', vocabulary=(colours,))}
    train = memory({name: values.astype(np.int32) for name, values in arrays.items()})
    return Dataset(train, inputs, Target('class', classes=tuple('abc'[:kinds])), train)
"""


@pytest.mark.parametrize(
    'given, problem',
    [
        (dict(colours=2), 'data: train: colour: found id 2; allowed: 0 .. 1, the vocabulary'),
        (dict(kinds=1), 'data: train: label: found id 1; allowed: 0 .. 0, the vocabulary'),
    ],
)
def test_ids_outside_what_there_is_are_one_line(project, monkeypatch, given, problem):
    monkeypatch.syspath_prepend(str(project))
    (project / 'shelf.py').write_text(OUTSIDE)
    part = {'name': 'shelf:shelves', **given}
    (line,) = refused(f'--config.workload.data={part}', '--config.workload.model=mlp')
    assert problem in line
    assert not (project / 'run').exists()
    sys.modules.pop('shelf', None)


@pytest.mark.parametrize(
    'overrides, problem',
    [
        (('--config.workload.data=flowrs.csv',), 'flowrs.csv: found no file or folder'),
        (('--config.workload.data=digts',), "no data is named 'digts'. Did you mean 'digits'?"),
        (('--config.workload.model=nets:Nett',), "has no 'Nett'. Did you mean 'Net'?"),
        (('--config.workload.name=regression',), "found 'species', a class, with regression"),
        (('--config.workload.model=cnn',), 'cnn: found inputs of shapes'),
        (
            ("--config.workload.data={'name': 'file', 'path': 'flowers.csv', 'fold': 7}",),
            'fold: found 7; allowed: 0 .. 4 of 5 folds',
        ),
        (
            ("--config.workload.data={'name': 'file', 'path': 'flowers.csv', 'label': 'kind'}",),
            "label: found no column 'kind'; allowed: 'length', 'width', 'colour', 'species'",
        ),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(project, overrides, problem, monkeypatch):
    monkeypatch.syspath_prepend(str(project))
    (line,) = refused(*overrides)
    assert problem in line
    assert not (project / 'run').exists()
    sys.modules.pop('nets', None)
