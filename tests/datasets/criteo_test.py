"""A log of clicks in the layout of Criteo's file, read in pieces, against loops over its lines."""

import collections
import gzip
import math
import pathlib
import runpy

import jax
import numpy as np
import pytest

from lbexp.config import check, lookup
from lbexp.datasets import _click_log
from lbexp.datasets.criteo import _dataset, criteo

EXPERIMENT = pathlib.Path(__file__).parents[2] / 'experiments' / 'ctr.py'
ROWS, RARE = 400, 10
HOURS = [f'{number:08x}' for number in (0, 7, 2**32 - 1)]


def lines():
    """Numbers with gaps and a long tail; categories that are frequent, rare, or missing."""
    generator = np.random.default_rng(0)
    rows = []
    for row in range(ROWS):
        numbers = np.floor(np.exp(generator.uniform(0, 12, 13))).astype(int) - 3
        fields = [str(generator.integers(2)), *map(str, numbers)]
        for column in range(26):
            fields.append(generator.choice([*HOURS, f'{row // (column + 1):08x}']))
        for place in generator.choice(np.arange(1, 40), 6, replace=False):
            fields[place] = ''
        fields[1] = str(row)  # tells rows apart
        rows.append(fields)
    return rows


@pytest.fixture(autouse=True)
def log(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    # many pieces, of a few rows each
    monkeypatch.setattr(_click_log, '_PIECE', 4000)
    rows = lines()
    write(rows)
    return rows


def write(rows, file='train.txt'):
    text = ''.join('\t'.join(fields) + '\n' for fields in rows)
    if file.endswith('.gz'):
        with gzip.open(file, 'wt') as stream:
            stream.write(text)
    else:
        with open(file, 'w') as stream:
            stream.write(text)


def forget(monkeypatch, cache):
    """What is in memory, and what is in another cache folder than this."""
    _dataset.cache_clear()
    monkeypatch.setenv('XDG_CACHE_HOME', str(cache))


def numbers_of(source):
    """The rows that its examples are."""
    return source.arrays['numeric'][:, 0].astype(int)


@pytest.mark.parametrize('split', ['random', 'time'])
def test_each_row_is_of_one_part(log, split):
    data = criteo('.', split, bins=None)
    rows = {part: numbers_of(getattr(data, part)) for part in ('train', 'validation', 'test')}
    assert sorted(np.concatenate(list(rows.values()))) == list(range(ROWS))
    labels = np.array([int(fields[0]) for fields in log])
    for part, places in rows.items():
        assert (np.diff(places) > 0).all()
        np.testing.assert_array_equal(getattr(data, part).arrays['label'], labels[places])
    if split == 'random':
        assert (len(rows['validation']), len(rows['test'])) == (40, 40)
        shares = [labels[places].mean() for places in rows.values()]
        np.testing.assert_allclose(shares, labels.mean(), atol=1 / 40)
    else:
        assert rows['train'].max() < min(rows['validation'].min(), rows['test'].min())
        assert abs(len(rows['validation']) - len(rows['test'])) <= 1
        assert len(rows['train']) == round(ROWS * 6 / 7)
        # half of them at random, not one half after the other
        assert rows['validation'].max() > rows['test'].min()
        assert rows['test'].max() > rows['validation'].min()


def test_categories_and_numbers_against_a_loop(log):
    data = criteo('.', bins=None, rare=RARE)
    described = data.inputs['categorical']
    trained = [log[row] for row in numbers_of(data.train)]
    for column in range(26):
        counts = collections.Counter(fields[14 + column] for fields in trained)
        known = sorted(text for text, count in counts.items() if text and count >= RARE)
        assert described.categories[column] == tuple(known)
        assert described.vocabulary[column] == 1 + len(known)
        for part in (data.train, data.validation, data.test):
            texts = [log[row][14 + column] for row in numbers_of(part)]
            ids = [known.index(text) + 1 if text in known else 0 for text in texts]
            assert part.arrays['categorical'][:, column].tolist() == ids
    for part in (data.train, data.validation, data.test):
        texts = [log[row][1:14] for row in numbers_of(part)]
        numbers = [[float(text or 'nan') for text in fields] for fields in texts]
        np.testing.assert_array_equal(part.arrays['numeric'], np.float32(numbers))
    missing = sum(fields[20] == '' for fields in log)
    assert data.schema['columns']['C7']['missing'] == missing > 0


def squared_logarithm(text):
    """As the winners wrote it: 'SP' is a number of its own."""
    if text == '':
        return None
    number = int(text)
    return f'SP{number}' if number <= 2 else math.floor(math.log(number) ** 2)


def test_squared_logarithms_are_those_of_the_winners(log):
    """Two numbers have one id where they have one floor(log(x)^2), and only there."""
    rows = criteo('.', bins=None)
    data = criteo('.')
    assert data.inputs['categorical'].columns[:14] == (*rows.inputs['numeric'].columns, 'C1')
    largest = {column: set() for column in range(13)}
    for row in numbers_of(rows.train):
        for column in range(13):
            largest[column].add(int(log[row][1 + column] or 0))
    for column in range(13):
        ids = {}
        for known, part in ((rows.train, data.train), (rows.test, data.test)):
            for place, row in enumerate(numbers_of(known)):
                text = log[row][1 + column]
                # beyond what training rows have, it is their last interval
                if text and int(text) <= max(largest[column]):
                    number = part.arrays['categorical'][place, column]
                    ids.setdefault(squared_logarithm(text), set()).add(int(number))
        assert all(len(numbers) == 1 for numbers in ids.values())
        different = set.union(*ids.values())
        assert len(different) == len(ids) and 0 not in different
        assert max(different) < data.inputs['categorical'].vocabulary[column]


def test_quantiles_are_of_the_training_rows(log):
    data = criteo('.', bins=4)
    plain = criteo('.', bins=None)
    known = plain.train.arrays['numeric'][:, 1]
    limits = np.nanquantile(known, (0.25, 0.5, 0.75), method='lower')
    for part in ('train', 'validation', 'test'):
        numbers = getattr(plain, part).arrays['numeric'][:, 1]
        below = 1 + (limits <= numbers[:, None]).sum(1)
        expected = np.where(np.isnan(numbers), 0, below)
        ids = getattr(data, part).arrays['categorical'][:, 1]
        np.testing.assert_array_equal(ids, expected)
    assert set(expected) == {0, 1, 2, 3, 4}


def test_some_rows_are_always_the_same_ones(log, tmp_path, monkeypatch):
    few = criteo('.', bins=None, examples=100)
    forget(monkeypatch, tmp_path / 'another_cache')
    again = criteo('.', bins=None, examples=100)
    assert few.train.size + few.validation.size + few.test.size == 100
    np.testing.assert_array_equal(numbers_of(few.train), numbers_of(again.train))
    assert numbers_of(few.train).max() > 200


def test_a_packed_file_and_a_copy_give_the_same(log, tmp_path, monkeypatch):
    plain = criteo('.')
    (tmp_path / 'packed').mkdir()
    write(log, 'packed/train.txt.gz')
    packed = criteo('packed')
    copies = list(tmp_path.glob('cache/lbexp/decoded/*.npz'))
    assert len(copies) == 2
    forget(monkeypatch, tmp_path / 'cache')
    monkeypatch.setattr(_click_log, '_pieces', None)  # the file is not read again
    copied = criteo('.')
    for part in ('train', 'validation', 'test'):
        for other in (packed, copied):
            jax.tree.map(
                np.testing.assert_array_equal,
                getattr(plain, part).arrays,
                getattr(other, part).arrays,
            )
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    write(log[:200])
    assert criteo('.').train.size < plain.train.size


def test_every_model_of_the_experiment_takes_it(log):
    config = runpy.run_path(str(EXPERIMENT))['get_config']('criteo')
    config.workload.data.path, config.workload.data.examples = '.', None
    assert not check.check(config)
    ((_, models), _) = config.sweep
    for model, _ in models:
        workload = lookup.build('workload', {**config.workload.to_dict(), 'model': model})
        examples = {name: values[:5] for name, values in workload.test.arrays.items()}

        def loss(examples, workload=workload):
            params, state = workload.init(jax.random.key(0))
            return workload.loss(params, state, examples, jax.random.key(1))[0]

        assert jax.tree.leaves(jax.eval_shape(loss, examples))


@pytest.mark.parametrize(
    'change, problem',
    [
        (lambda rows: rows[0].__setitem__(0, '2'), 'found label 2 in row 1; allowed: 0, 1'),
        (lambda rows: rows[70].__setitem__(0, ''), 'found label nan in row 71; allowed: 0, 1'),
        (lambda rows: rows[3].pop(), 'cannot be read .* allowed: lines of 40 columns'),
        (lambda rows: rows[3].__setitem__(5, 'x'), 'cannot be read .* allowed: lines of 40'),
        (lambda rows: rows.__delitem__(slice(19, None)), 'found 19 rows'),
    ],
)
def test_what_is_no_such_log_is_told(log, change, problem):
    change(log)
    write(log)
    with pytest.raises(ValueError, match=problem):
        criteo('.')


def test_a_missing_file_says_what_to_get():
    with pytest.raises(ValueError, match=r"found no train.txt in 'none'; allowed: .* dac.tar.gz"):
        criteo('none')
    with pytest.raises(ValueError, match='found 400 rows and examples=401'):
        criteo('.', examples=401)


def test_a_column_without_numbers_is_told(log):
    for fields in log:
        fields[12] = ''
    write(log)
    with pytest.raises(ValueError, match=r'bins: found None, and no number in .* of I12; allowed'):
        criteo('.', bins=None)
    assert criteo('.').inputs['categorical'].vocabulary[11] == 2
