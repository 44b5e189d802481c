"""Files read as others were that a network was trained on: the same file gives the same
examples."""

import csv
import pathlib

import numpy as np
import pytest
from PIL import Image
from training import train

import lbexp
from lbexp import config as configs
from lbexp import evaluate
from lbexp.datasets._as_trained import as_trained
from lbexp.datasets.file import file
from lbexp.engine import record
from lbexp.errors import Refusal

ROWS = 40


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)


def columns(**changed):
    generator = np.random.default_rng(0)
    table = {
        'size': generator.normal(3, 2, ROWS).round(3).tolist(),
        'colour': generator.choice(['red', 'green', 'blue'], ROWS).tolist(),
        'kind': np.where(np.arange(ROWS) % 3, 'oak', 'ash').tolist(),
    }
    return {**table, **changed}


def write(table, path='mine.csv'):
    """The columns from the last to the first: names count, not places."""
    with open(path, 'w', newline='') as stream:
        writer = csv.writer(stream)
        writer.writerow(list(table)[::-1])
        writer.writerows(zip(*list(table.values())[::-1]))
    return path


def table():
    write(columns(), 'trained.csv')
    return file('trained.csv', label='kind'), write(columns(extra=[0] * ROWS))


def archive():
    generator = np.random.default_rng(0)
    arrays = dict(x=generator.normal(size=(ROWS, 3)), y=np.arange(ROWS) % 2 * 4 + 1)
    np.savez('trained.npz', **arrays, word=np.where(arrays['y'] > 1, 'a', 'b'))
    return file('trained.npz'), 'trained.npz'


def numbers():
    np.savez('trained.npz', x=np.arange(float(ROWS)), y=np.linspace(0, 1, ROWS))
    return file('trained.npz'), 'trained.npz'


def pictures():
    generator = np.random.default_rng(1)
    for name in ('cat', 'dog'):
        for i in range(6):
            path = pathlib.Path('pets', name, f'{i}.png')
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (6, 5, 3), np.uint8)).save(path)
    return file('pets'), 'pets'


def held(source):
    return source.read(source.arrays, np.arange(source.size))


def every(data):
    first, second = held(data.train), held(data.test)
    return {name: np.concatenate([first[name], second[name]]) for name in first}


def as_sets(arrays):
    """Examples without their order."""
    flat = []
    for values in arrays.values():
        flat.append(np.asarray(values, np.float32).reshape(len(values), -1))
    return sorted(np.concatenate(flat, axis=1).tolist())


@pytest.mark.parametrize('trained', [table, archive, numbers, pictures])
def test_the_same_file_gives_the_same_examples(trained):
    data, path = trained()
    again = as_trained(path, data)
    expected = every(data)
    assert again.keys() == expected.keys()
    assert as_sets({name: again[name] for name in expected}) == as_sets(expected)


@pytest.mark.parametrize(
    'table, problem',
    [
        (columns(kind=['elm'] * ROWS), "label 'kind': found 'elm'; allowed: 'ash', 'oak'"),
        (dict(kind=['oak'], size=[1.0]), 'found size, kind; allowed: colour among them'),
        (columns(size=[''] * ROWS), f'found {ROWS} missing numbers; allowed: none'),
        (columns(size=['big'] * ROWS), "column 'size': found"),
    ],
)
def test_what_does_not_fit_is_one_line(table, problem):
    write(columns(), 'trained.csv')
    with pytest.raises(Refusal) as refused:
        as_trained(write(table), file('trained.csv', label='kind'))
    assert problem in str(refused.value) and '\n' not in str(refused.value)


@pytest.mark.long
def test_a_trained_network_is_evaluated_on_a_file(tmp_path, capsys):
    """Over the file that it was trained on: the mean over training and test examples."""
    config = configs.base()
    write(columns(), 'trained.csv')
    data = dict(name='file', path=str(tmp_path / 'trained.csv'), label='kind')
    model = dict(name='mlp', hidden=(4,))
    config.workload = dict(name='classification', data=data, model=model)
    config.steps, config.batch_size, config.num_rows = 4, 8, 2
    config.num_evaluations = config.num_checkpoints = 1
    workdir = tmp_path / 'run'
    record.record(workdir, configs.plain(config), [{}])
    train(config, workdir)
    trial = lbexp.open(workdir).trial(0)
    sizes = trial.workload.train.size, trial.workload.test.size
    losses = [trial.evaluate(name)['loss'] for name in ('train', 'test')]
    expected = np.average(losses, weights=sizes)
    assert trial.evaluate(tmp_path / 'trained.csv')['loss'] == pytest.approx(expected, rel=1e-5)
    assert evaluate.main(['', f'--workdir={workdir}', '--data=trained.csv']) == 0
    assert f'{expected:.4g}'[:5] in capsys.readouterr().out
    write(columns(kind=['elm'] * ROWS))
    assert evaluate.main(['', f'--workdir={workdir}', '--data=mine.csv']) == 2
    assert capsys.readouterr().err.count('\n') == 1
