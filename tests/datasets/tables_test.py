"""Tables of packages as data sets: labels, splits, numbers in intervals and in pieces."""

import hashlib
import json
import math

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from lbexp.datasets import movielens_100k as films
from lbexp.datasets.adult import adult
from lbexp.datasets.california_housing import california_housing
from lbexp.datasets.file import file
from lbexp.datasets.movielens_100k import movielens_100k
from lbexp.datasets.open_bandit import open_bandit
from lbexp.datasets.proteins import proteins
from lbexp.inputs import encoded
from lbexp.models._fields import field_vectors

ROWS = 400


def prepared(folder, name, columns):
    """A data set as `lbexp.data.prepare` leaves it."""
    home = folder / name / '1.0.0'
    home.mkdir(parents=True)
    parquet.write_table(pyarrow.table(columns), home / 'examples.parquet')
    digest = hashlib.sha256((home / 'examples.parquet').read_bytes()).hexdigest()
    (home / 'about.json').write_text(json.dumps({'file': 'examples.parquet', 'sha256': digest}))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'data'))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'data'


def numbers(low=0, high=100, seed=0):
    return np.random.default_rng(seed).integers(low, high, ROWS)


def people():
    texts = np.random.default_rng(1).choice(['Private', '?', 'State-gov'], ROWS)
    income = np.where(numbers() < 24, '>50K', '<=50K')
    return {'age': numbers(17, 90, 2), 'workclass': texts, 'income': income}


def ratings():
    table = {name: numbers(1, 20, 3) for name in ('user_id', 'movie_id')}
    table['timestamp'] = np.random.default_rng(4).permutation(ROWS)
    table |= {'gender': np.where(numbers() < 50, 'F', 'M'), 'age': numbers(18, 60, 5)}
    table |= {'occupation': np.repeat('artist', ROWS), 'zip_code': np.repeat('10115', ROWS)}
    table['release_year'] = np.where(numbers() < 3, np.nan, 1990.0 + numbers(0, 9, 6))
    table |= {genre: numbers(0, 2, 7 + i) for i, genre in enumerate(films._GENRES)}
    rating = np.asarray([1, 2, 4, 5])[numbers(0, 4, 9)]
    return {**table, 'rating': rating, 'liked': (rating > 3).astype(np.int32)}


def test_adult(folder):
    prepared(folder, 'adult', people())
    data = adult(validation=36)
    assert (data.train.size, data.validation.size, data.test.size) == (324, 36, 40)
    assert data.target.classes == ('<=50K', '>50K')
    assert data.inputs['categorical'].columns == ('age', 'workclass')
    assert data.source == 'Adult, US census of 1994, UCI (CC BY 4.0 (UCI))'
    assert data.schema['source'] == 'adult'
    plain = adult(bins=None, validation=36)
    assert plain.inputs['numeric'].columns == ('age',)
    for split in ('train', 'validation', 'test'):
        labels = [getattr(each, split).arrays['income'] for each in (data, plain)]
        np.testing.assert_array_equal(*labels)
    assert adult(fold=1, folds=4).test.size == 100


def impressions():
    table = {name: np.repeat('x', ROWS) for name in ('policy', 'campaign', 'item')}
    table['timestamp'] = np.random.default_rng(4).permutation(ROWS) + 0.5
    table['position'] = numbers(1, 4, 3)
    for kind in ('user', 'item'):
        table |= {f'{kind}_feature_{i}': numbers(0, 3, i).astype(str) for i in range(4)}
    table['item_feature_0'], table['affinity'] = numbers(0, 9, 5) - 0.5, numbers(0, 2, 6) * 1.0
    return {**table, 'propensity_score': numbers() / 100, 'click': (numbers() < 10).astype(int)}


@pytest.mark.parametrize('split', ['random', 'time'])
def test_clicks_of_a_shop(folder, split):
    table = impressions()
    prepared(folder, 'open_bandit', table)
    data = open_bandit(split, validation=40)
    assert (data.train.size, data.validation.size, data.test.size) == (320, 40, 40)
    assert data.target.classes == ('0', '1')
    (inputs,) = data.inputs.values()
    assert len(inputs.columns) == 12
    assert not {'click', 'timestamp', 'propensity_score', 'policy'} & set(inputs.columns)
    if split == 'random':
        assert data.test.arrays['click'].sum() == round(0.1 * table['click'].sum())
        assert open_bandit(fold=1, folds=4).test.size == 100
    else:
        last = np.sort(np.argsort(table['timestamp'])[-40:])
        np.testing.assert_array_equal(data.test.arrays['click'], table['click'][last])


def test_films_by_chance_and_by_time(folder):
    table = ratings()
    prepared(folder, 'movielens_100k', table)
    data, later = movielens_100k(validation=36), movielens_100k('time', validation=36)
    for each in (data, later):
        (inputs,) = each.inputs.values()
        assert not {'timestamp', 'rating', 'liked'} & set(inputs.columns)
        assert len(inputs.columns) == 25
        assert (each.train.size, each.validation.size, each.test.size) == (324, 36, 40)
    # what is tested is the future of what is tuned on, and that of what is trained on
    order = np.argsort(table['timestamp'])
    sides = np.split(order, [324, 360])
    for split, places in zip(('train', 'validation', 'test'), sides, strict=True):
        liked = getattr(later, split).arrays['liked']
        np.testing.assert_array_equal(liked, table['liked'][np.sort(places)])


def test_no_user_of_the_test_set_is_in_training(folder):
    """Told by an input that each user has for himself."""
    table = ratings()
    table['age'] = table['user_id']
    prepared(folder, 'movielens_100k', table)
    users = {}
    shared = {}
    for split in ('random', 'user'):
        data = movielens_100k(split, bins=None, validation=36)
        for part in ('train', 'validation', 'test'):
            arrays = getattr(data, part).arrays
            users[part] = set(arrays['numeric'][:, 0].tolist())
        shared[split] = users['train'] & users['test']
    assert shared['random'] and not shared['user']
    assert not users['train'] & users['validation']
    (columns,) = [each.columns for each in data.inputs.values() if each.kind == 'categorical']
    assert 'user_id' not in columns and 'movie_id' in columns


@pytest.mark.parametrize('split', ['random', 'user'])
def test_folds_of_ratings_and_of_users_are_disjoint_and_everything(folder, split):
    table = ratings()
    table['age'], table['release_year'] = table['user_id'], np.arange(ROWS)
    prepared(folder, 'movielens_100k', table)
    rows, users = [], []
    for fold in range(3):
        data = movielens_100k(split, bins=None, fold=fold, folds=3)
        assert data.validation is None and data.train.size + data.test.size == ROWS
        numeric = data.test.arrays['numeric']
        rows += numeric[:, 1].tolist()
        users += set(numeric[:, 0].tolist())
    assert sorted(rows) == list(range(ROWS))
    assert (len(users) == len(set(users))) is (split == 'user')


def test_time_has_no_folds(folder):
    prepared(folder, 'movielens_100k', ratings())
    with pytest.raises(ValueError, match="fold: found 1 with split 'time'; allowed: another split"):
        movielens_100k('time', fold=1)


def test_a_block_of_proteins_is_on_one_side(folder):
    table = {
        name: numbers(0, 100, i).astype(float) for i, name in enumerate(map(str, range(4, 78)))
    }
    # told by an input, so that examples can be followed
    blocks = np.repeat(np.arange(20), 20)
    table |= {'4': blocks.astype(float), 'EXAMPLE_ID': np.arange(ROWS), 'BLOCK_ID': blocks}
    prepared(folder, 'proteins', {**table, 'target': numbers(0, 2, 99)})
    data = proteins(validation=40)
    assert len(data.inputs['numeric'].columns) == 74
    sides = []
    for source in (data.train, data.validation, data.test):
        sides.append(set(source.arrays['numeric'][:, 0].tolist()))
    assert [len(side) for side in sides] == [16, 2, 2]
    assert set.union(*sides) == set(range(20))
    tested = []
    for fold in range(4):
        tested += set(proteins(fold=fold, folds=4).test.arrays['numeric'][:, 0].tolist())
    assert sorted(tested) == list(range(20)), 'a block is of one fold, and each is of one'


def test_houses(folder):
    table = {'MedInc': numbers(0, 9).astype(float), 'MedHouseVal': numbers(1, 6, 1) * 1.0}
    prepared(folder, 'california_housing', table)
    data = california_housing(validation=36)
    assert data.target.kind == 'number' and data.inputs['numeric'].columns == ('MedInc',)


@pytest.mark.parametrize('make', [adult, movielens_100k, proteins, california_housing])
def test_what_is_not_prepared_says_what_to_run(make):
    with pytest.raises(ValueError, match=f'python -m lbexp.data.prepare {make.__name__}') as told:
        make()
    assert '\n' not in str(told.value)


def table(**columns):
    given = {**columns, 'label': np.arange(ROWS) % 2}
    parquet.write_table(pyarrow.table(given), 't.parquet')
    return 't.parquet'


def test_intervals_are_quantiles_of_the_training_rows():
    x = np.random.default_rng(0).lognormal(size=ROWS)
    held_out = np.arange(ROWS) % 4 == 0
    x[held_out] *= 1000  # of no quantile
    path = table(x=x, held=held_out)
    data = file(path, label='label', test='held', bins=8)
    described = data.inputs['categorical']
    (limits,) = described.edges
    expected = np.quantile(x[~held_out].astype(np.float32), np.arange(8) / 8, method='lower')
    np.testing.assert_allclose(limits[:-1], expected, rtol=1e-6)
    assert described.vocabulary == (9,) and len(described.categories[0]) == 8
    ids = data.train.arrays['categorical'][:, 0]
    counts = np.bincount(ids, minlength=9)
    assert counts[0] == 0 and abs(counts[1:] - 300 / 8).max() <= 2
    # numbers in ascending order have ascending ids; beyond the ends is in the last interval
    order = np.argsort(x[~held_out])
    assert (np.diff(ids[order]) >= 0).all()
    assert (data.test.arrays['categorical'][x[held_out] > limits[-1]] == 8).all()
    # columns of a table, later: the same ids, 0 where it is missing
    again = encoded(data.inputs, {'x': x[~held_out]})['categorical']
    np.testing.assert_array_equal(again[:, 0], ids)
    assert encoded(data.inputs, {'x': [math.nan, -1.0]})['categorical'].tolist() == [[0], [1]]


def test_few_values_have_an_interval_each_however_rare():
    flags = np.zeros(ROWS)
    flags[:4] = 1
    data = file(table(flags=flags), label='label', bins=4)
    ids = np.concatenate([each.arrays['categorical'][:, 0] for each in (data.train, data.test)])
    assert np.bincount(ids).tolist() == [0, ROWS - 4, 4]
    assert data.inputs['categorical'].categories == (('[0, 1)', '[1, inf)'),)


def test_a_missing_number_is_an_interval_of_its_own():
    x = np.where(np.arange(ROWS) % 5 == 0, np.nan, np.arange(ROWS))
    data = file(table(x=x), label='label', bins=4)
    ids = np.concatenate([each.arrays['categorical'][:, 0] for each in (data.train, data.test)])
    assert (ids == 0).sum() == ROWS / 5
    with pytest.raises(ValueError, match='found 80 missing or NaN of 400'):
        file(table(x=x), label='label')


def test_pieces_reach_a_model_in_its_unit():
    """A column of all lengths below a limit, of which the model is given (x - mean) / deviation."""
    x = np.random.default_rng(0).lognormal(3, 1, ROWS)
    data = file(table(x=x), label='label', bins=4, encoding='piecewise_linear')
    described = data.inputs['numeric']
    (limits,) = described.edges
    assert len(limits) == 5
    vectors = field_vectors('a model', data.inputs, 3)
    (pieces,) = vectors.pieces
    in_columns_unit = np.asarray(pieces) / described.scale[0] + described.shift[0]
    np.testing.assert_allclose(in_columns_unit, limits, rtol=1e-5)
