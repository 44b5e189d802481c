"""Files of the user's: what is inferred of them, how they are divided, and what is refused."""

import csv
import json

import jax
import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from lbexp.config import lookup
from lbexp.datasets.file import file
from lbexp.errors import Refusal
from lbexp.inputs import normalised

ROWS = 60


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'cache' / 'lbexp' / 'decoded'


def columns(**changed):
    generator = np.random.default_rng(0)
    table = {
        'size': generator.normal(3, 2, ROWS).round(3).tolist(),
        'colour': generator.choice(['red', 'green', 'blue'], ROWS).tolist(),
        'user': (np.arange(ROWS) // 6).tolist(),
        'kind': np.where(np.arange(ROWS) % 3, 'oak', 'ash').tolist(),
    }
    return {**table, **changed}


def write(path, table):
    if path.endswith('.parquet'):
        parquet.write_table(pyarrow.table(table), path)
        return path
    with open(path, 'w', newline='') as stream:
        writer = csv.writer(stream, delimiter='\t' if path.endswith('.tsv') else ',')
        writer.writerow(table)
        writer.writerows(zip(*table.values()))
    return path


def pictures(folder, shape=(8, 6, 3), count=6):
    """A folder for each of two classes."""
    generator = np.random.default_rng(1)
    for name in ('cat', 'dog'):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = generator.integers(0, 256, shape, np.uint8)
            Image.fromarray(pixels).save(folder / name / f'{i}.png')
    return str(folder)


def held(source):
    return jax.device_get(source.arrays)


@pytest.mark.parametrize('name', ['t.csv', 't.tsv', 't.parquet'])
def test_a_table(name):
    table = columns()
    data = file(write(name, table))
    assert data.target.classes == ('ash', 'oak') and data.target.name == 'kind'
    assert data.inputs['categorical'].vocabulary == (4,)
    assert data.inputs['numeric'].columns == ('size', 'user')
    assert (data.train.size, data.test.size) == (48, 12)
    # the same share of each class on both sides: 20 and 40 of 60
    assert np.bincount(held(data.test)['kind']).tolist() == [4, 8]
    # standardised by the training rows alone
    inputs = normalised(data.inputs, held(data.train))['numeric']
    np.testing.assert_allclose(inputs.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(inputs.std(0), 1, rtol=1e-5)
    # every row is on one side, with its own label
    rows = {}
    for source in (data.train, data.test):
        arrays = held(source)
        for numbers, label in zip(arrays['numeric'], arrays['kind']):
            rows[float(numbers[0])] = data.target.classes[label]
    assert rows == dict(zip(np.float32(table['size']).tolist(), table['kind']))
    schema = json.loads(json.dumps(data.schema))
    assert schema['examples'] == {'train': 48, 'test': 12}
    assert schema['label'] == {'column': 'kind', 'kind': 'class', 'classes': {'ash': 20, 'oak': 40}}
    assert schema['columns']['colour'] == {
        'kind': 'categorical',
        'type': 'str160',
        'missing': 0,
        'distinct': 3,
    }


def test_a_category_that_no_training_row_has_is_unknown():
    colours = ['red', 'green'] * 24 + ['violet'] * 11 + ['']
    marks = [i >= 48 for i in range(ROWS)]
    data = file(write('t.csv', columns(colour=colours, held=marks)), label='kind', test='held')
    assert data.test.size == 12
    assert held(data.test)['categorical'].ravel().tolist() == [0] * 12
    assert set(held(data.train)['categorical'].ravel().tolist()) == {1, 2}


def test_missing_numbers_are_the_mean_of_the_training_rows_where_asked():
    sizes = columns()['size']
    path = write('t.csv', columns(size=['' if i % 7 == 0 else s for i, s in enumerate(sizes)]))
    with pytest.raises(ValueError, match=r"column 'size': found 9 missing or NaN of 60"):
        file(path)
    data = file(path, missing='mean')
    arrays = held(data.train)
    lost = np.isnan(arrays['numeric'][:, 0])
    assert lost.any()
    inputs = normalised(data.inputs, arrays)['numeric']
    assert (np.asarray(inputs)[lost, 0] == 0).all()
    np.testing.assert_allclose(np.asarray(inputs)[~lost, 0].std(), 1, rtol=1e-5)
    assert data.schema['columns']['size']['missing'] == 9


@pytest.mark.parametrize('split, by', [('group', 'user'), ('time', 'user')])
def test_groups_stay_together_and_time_splits_at_the_end(split, by):
    path = write('t.csv', columns())
    data = file(path, split=split, by=by)
    users = dict(zip(np.float32(columns()['size']).tolist(), columns()['user']))
    sides = []
    for source in (data.train, data.test):
        sides.append({users[float(size)] for size in held(source)['numeric'][:, 0]})
    train, test = sides
    assert not train & test and len(test) == 2 and data.test.size == 12
    if split == 'time':
        assert min(test) > max(train)
    assert data.inputs['numeric'].columns == ('size',), 'the group is no input'


def test_folds_are_disjoint_and_together_everything():
    path = write('t.csv', columns())
    sizes = []
    for fold in range(4):
        data = file(path, fold=fold, folds=4)
        assert np.bincount(held(data.test)['kind']).tolist() == [5, 10]
        sizes += held(data.test)['numeric'][:, 0].tolist()
    assert sorted(sizes) == sorted(np.float32(columns()['size']).tolist())
    assert file(path, fold=59, folds=60).test.size == 1


def test_an_archive_with_the_split_of_its_makers():
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (30, 5, 4, 3), np.uint8)
    y = np.arange(30) % 3
    np.savez('a.npz', x_train=x[:24], y_train=y[:24], x_test=x[24:], y_test=y[24:])
    data = file('a.npz')
    assert data.inputs['x'].kind == 'image' and data.inputs['x'].shape == (5, 4, 3)
    assert np.array_equal(held(data.test)['x'], x[24:]) and data.schema['test'] == (
        'as the source has it'
    )
    folded = file('a.npz', fold=1, folds=4)
    assert folded.validation.size == 6 and folded.test.size == 6


def test_an_archive_of_numbers():
    x, y = np.random.default_rng(0).normal(5, 3, (40, 7)), np.linspace(0, 10, 40)
    np.savez('a.npz', x=x, y=y)
    data = file('a.npz', validation=8)
    trained = held(data.train)['y']
    assert data.target.kind == 'number' and len(trained) == 24
    assert np.isclose(data.target.mean, trained.mean()) and np.isclose(
        data.target.deviation, trained.std()
    )


def test_a_folder_of_pictures(tmp_path):
    data = file(pictures(tmp_path / 'pets'))
    assert data.target.classes == ('cat', 'dog') and data.inputs['image'].shape == (8, 6, 3)
    with Image.open(tmp_path / 'pets' / 'dog' / '3.png') as image:
        pixels = np.asarray(image)
    every = np.concatenate([held(data.train)['image'], held(data.test)['image']])
    assert (every == pixels).all(axis=(1, 2, 3)).sum() == 1
    assert file(str(tmp_path / 'pets'), size=(4, 4)).inputs['image'].shape == (4, 4, 3)


def test_a_damaged_copy_is_never_used_in_silence(cache, capsys):
    path = write('t.csv', columns())
    before = held(file(path).train)
    (copy,) = cache.glob('*.npz')
    with np.load(copy) as stored:
        arrays = {name: stored[name] for name in stored}
    np.savez(copy, **{**arrays, 'kind': arrays['kind'][::-1]})
    after = held(file(path).train)
    told = capsys.readouterr().err
    assert told.count('\n') == 1 and str(copy) in told and 'decoded again' in told
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert held(file(path).train) is not None and capsys.readouterr().err == ''
    beside = {entry.name for entry in cache.parent.parent.parent.iterdir()}
    assert beside == {'cache', 't.csv'}, 'nothing lies beside the source'


def test_other_content_under_the_same_name_is_read_anew():
    path = write('t.csv', columns())
    first = held(file(path).train)['numeric']
    write('t.csv', columns(size=[float(i) for i in range(ROWS)]))
    assert not np.array_equal(first, held(file(path).train)['numeric'])


def small(rows):
    return {name: values[:rows] for name, values in columns().items()}


WRONG = [
    (columns(), dict(numeric=('colour',)), r"column 'colour': found texts \('"),
    (columns(kind=['oak'] * ROWS), {}, "label 'kind': found one class, oak; allowed: two or more"),
    (small(3), {}, 't.csv: found 3 examples; allowed: 10 or more'),
    (columns(size=[float('nan')] * ROWS), {}, "column 'size': found 60 missing or NaN of 60"),
    (columns(), dict(label='species'), "label: found no column 'species'; allowed: 'size', "),
    (columns(), dict(columns=('size', 'weight')), "columns: found 'weight'; allowed: 'size', "),
    (columns(), dict(columns=('kind',)), "columns: found 'kind'; allowed: 'size', "),
    (columns(), dict(split='group'), "by: not set with split 'group'; allowed: a column"),
    (columns(), dict(split='time', by='day'), "by: found no column 'day'"),
    (columns(), dict(fold=5), 'fold: found 5; allowed: 0 .. 4 of 5 folds'),
    (columns(), dict(fold=0, folds=99), 'folds: found 99; allowed: 2 .. 60, of 60 examples'),
    (columns(), dict(validation=48), 'validation: found 48; allowed: 0 .. 47 of the 48'),
    (columns(), dict(label='colour', target='number'), r"label 'colour': found texts \('blue'"),
    (columns(kind=['oak'] * 59 + ['']), {}, "label 'kind': found 1 missing of 60; allowed: none"),
    (columns(note=[f'text {i}' for i in range(ROWS)]), dict(label='kind'), 'are no categories'),
    (columns(), dict(augment=dict(rotation=5.0)), 'augment: found 0 arrays of pictures'),
    (columns(), dict(missing='median'), "missing: found 'median'; allowed: 'refuse', 'mean'"),
]


@pytest.mark.parametrize('table, arguments, problem', WRONG)
def test_what_is_refused(table, arguments, problem, cache):
    part = dict(name='file', path=write('t.csv', table), **arguments)
    with pytest.raises(Refusal, match=problem) as refused:
        lookup.build('data', part)
    assert '\n' not in str(refused.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / 'bad.parquet').write_bytes(b'PAR1 nothing')
    (tmp_path / 'bad.npz').write_bytes(b'PK nothing')
    np.savez('objects.npz', x=np.array([None] * 20, object), y=np.arange(20))
    np.savez('lengths.npz', x=np.zeros((20, 2)), y=np.arange(19))
    mixed = pictures(tmp_path / 'mixed')
    Image.new('RGB', (3, 3)).save(tmp_path / 'mixed' / 'dog' / '9.png')
    broken = pictures(tmp_path / 'broken')
    (tmp_path / 'broken' / 'dog' / '2.png').write_bytes(b'no picture')
    (tmp_path / 'empty').mkdir()
    for path, problem in {
        'none.csv': 'found no file or folder',
        'bad.parquet': 'bad.parquet: cannot be read',
        'bad.npz': 'bad.npz: cannot be read',
        'objects.npz': 'objects.npz: cannot be read',
        'lengths.npz': r'lengths.npz: found x \(20, 2\), y \(19,\); allowed: arrays of one length',
        mixed: r'9.png: found 3x3 after 8x6; allowed: images of one size, or size=',
        broken: r'2.png: cannot be read',
        str(tmp_path / 'empty'): 'found no images',
    }.items():
        with pytest.raises(Refusal, match=problem) as refused:
            lookup.build('data', dict(name='file', path=path))
        assert '\n' not in str(refused.value)
