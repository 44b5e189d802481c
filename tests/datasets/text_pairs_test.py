"""Pairs of texts of one's own: rows, labels and splits; and a class that only both texts tell."""

import csv
import pathlib
import re

import numpy as np
import pytest
from training import tiny, train

from lbexp.config import check, lookup
from lbexp.datasets._wordpiece import MARKS
from lbexp.datasets.text_pairs import text_pairs

pytest.importorskip('tokenizers')

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'how_to' / 'own_data.md'
SECTION = PAGE.read_text().split('## Pair classification')[1].split('\n## ')[0]
COLOURS, ROWS = ('red', 'green', 'blue'), 240
GIVEN = dict(path='pairs.csv', first='claim', second='evidence', label='verdict')


def verdict(first, second):
    return COLOURS[(COLOURS.index(first) + COLOURS.index(second)) % 3]


@pytest.fixture(autouse=True)
def pairs(tmp_path, monkeypatch):
    """Two colours, one of three classes that hangs on both; the texts of a user are alike."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    rows = []
    for number in range(ROWS):
        first, second = generator.choice(COLOURS, 2).tolist()
        rows.append((first, second, verdict(first, second), number // 8, number))
    with open('pairs.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(('claim', 'evidence', 'verdict', 'user', 'number'))
        writer.writerows(rows)
    return rows


def test_a_row_is_both_texts_with_their_class(pairs):
    data = text_pairs(**GIVEN, length=8, split='time', by='number', test=0.25)
    assert data.target.classes == ('blue', 'green', 'red')
    assert (data.train.size, data.test.size) == (180, 60)
    tokens, kinds = data.test.arrays['tokens'][0], data.test.arrays['kinds'][0]
    begin, separator = MARKS.index('[CLS]'), MARKS.index('[SEP]')
    assert tokens[[0, 2, 4]].tolist() == [begin, separator, separator] and not tokens[5:].any()
    assert kinds.tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    first, second, label, *_ = pairs[180]
    assert (tokens[1] == tokens[3]) == (first == second)
    assert data.target.classes[data.test.arrays['label'][0]] == label
    np.testing.assert_array_equal(data.test.arrays['segments'][0], np.arange(8) < 5)
    assert data.schema['label']['classes'].keys() == set(COLOURS)
    assert data.schema['columns']['claim'] == {'kind': 'text', 'missing': 0}


def test_the_vocabulary_is_of_what_is_not_for_testing(pairs):
    """A word of the test rows alone is unknown."""
    rows = [('red', 'green', 'a' if number % 2 else 'b') for number in range(20)]
    with open('pairs.csv', 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerows([('claim', 'evidence', 'verdict', 'part'), *((*row, '') for row in rows)])
        writer.writerow(('zzz', 'red', 'a', 'test'))
    data = text_pairs(**GIVEN, length=8, test='part')
    assert data.test.arrays['tokens'][0, 1] == MARKS.index('[UNK]')


def test_groups_stay_together(pairs):
    data = text_pairs(**GIVEN, length=8, split='group', by='user', validation=40)
    rows = [part.size for part in (data.train, data.validation, data.test)]
    assert sum(rows) == ROWS and all(count % 8 == 0 for count in rows)


@pytest.mark.parametrize(
    'changed, problem',
    [
        (dict(first='title'), "first, second: found no column 'title'; allowed: 'claim', 'evide"),
        (dict(second='number'), "first, second: found numbers in column 'number'; allowed: texts"),
        (dict(path='pairs.npz'), r"path: found 'pairs.npz'; allowed: .csv, .tsv, .parquet"),
        (dict(vocabulary=5), 'vocabulary: found 5; allowed: more than 5 pieces'),
        (dict(length=3), 'length: found 3 with a first text of 1 pieces'),
    ],
)
def test_what_cannot_be_is_told_in_one_line(changed, problem):
    with pytest.raises(ValueError, match=problem):
        text_pairs(**{**GIVEN, **changed})


def workload(name, **data):
    model = dict(name='encoder', width=16, blocks=1, heads=2)
    return dict(name=name, data=dict(name='text_pairs', length=8, **GIVEN, **data), model=model)


def test_what_the_documentation_shows_is_right():
    (shown,) = re.findall('```python\n(.*?)```', SECTION, flags=re.DOTALL)
    config = tiny()
    exec(shown, {'c': config})
    assert not check.check(config)


def test_two_classes_are_asked_of_three():
    with pytest.raises(ValueError, match="'label' of 3 classes with binary; allowed: 2"):
        lookup.build('workload', workload('binary'))


@pytest.mark.long
def test_an_encoder_learns_what_both_texts_say(tmp_path):
    """Of three classes, each as frequent whatever one of the texts is."""
    config = tiny(workload=workload('classification'), steps=150, batch_size=32)
    config.optimizer = dict(name='adamw', learning_rate=0.01, weight_decay=0.0)
    config.num_rows, config.num_evaluations = 3, 1
    assert not check.check(config)
    (*_, last) = train(config, tmp_path / 'run')
    assert last['test_accuracy'] > 0.95
