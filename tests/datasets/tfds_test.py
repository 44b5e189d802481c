"""Data sets that TensorFlow Datasets has prepared: pictures, texts and tables, told by their
features."""

import contextlib
import io
import json
import shutil
import sys

import jax
import numpy as np
import pytest
import tensorflow_datasets as library
from tensorflow_datasets.core import registered

from lbexp.config import lookup
from lbexp.datasets._tfds import opened
from lbexp.datasets._wordpiece import MARKS
from lbexp.datasets.tfds import tfds

features = library.features
CLASSES = ('sport', 'art')
WORDS = {'sport': ('ball', 'goal', 'team'), 'art': ('paint', 'stage', 'poem')}
NEWS = {'title': features.Text(), 'story': features.Text()}
NEWS['label'] = features.ClassLabel(names=CLASSES)
PEOPLE = {
    'age': np.float32,
    'children': np.int64,
    'is_tall': np.bool_,
    'town': np.object_,
    'job': features.ClassLabel(names=('baker', 'smith')),
    'rich': features.ClassLabel(names=('no', 'yes')),
}
PICTURES = {'image': features.Tensor(shape=(4, 4, 1), dtype=np.uint8)}
PICTURES['label'] = features.ClassLabel(num_classes=3)


def news(count, known=True):
    generator = np.random.default_rng(count)
    for number in range(count):
        name = CLASSES[number % 2]
        words = ' '.join(generator.choice(WORDS[name], 5))
        label = name if known else -1
        yield {'title': f'Naïve {words.split()[0]} {number}', 'story': words, 'label': label}


def people(count):
    for number in range(count):
        yield {
            'age': number + 0.5,
            'children': number % 4,
            'is_tall': number % 3 == 0,
            'town': ('Bath', 'York')[number % 2],
            'job': number % 2,
            'rich': (number // 2) % 2,
        }


def pictures(count):
    for number in range(count):
        yield {'image': np.full((4, 4, 1), number, np.uint8), 'label': number % 3}


SETS = {
    'news': (NEWS, {'train': list(news(40)), 'test': list(news(10))}),
    'glue/news': (
        {'story': NEWS['story'], 'label': NEWS['label']},
        {
            'train': [{'story': each['story'], 'label': each['label']} for each in news(40)],
            'validation': [{'story': each['story'], 'label': each['label']} for each in news(12)],
            'test': [{'story': each['story'], 'label': -1} for each in news(10)],
        },
    ),
    'scores': (
        {'age': np.float32, 'score': np.float32},
        {
            'train': [{'age': age, 'score': age / 2} for age in range(40)],
            'validation': [{'age': age, 'score': age / 2} for age in range(12)],
            'test': [{'age': age, 'score': -1} for age in range(10)],
        },
    ),
    'people': (PEOPLE, {'train': list(people(60))}),
    'pictures': (PICTURES, {'train': list(pictures(9)), 'test': list(pictures(6))}),
    'lists': (
        {'words': features.Sequence(np.int64), 'label': NEWS['label']},
        {'train': [{'words': [1, 2], 'label': 0}] * 12, 'test': [{'words': [1], 'label': 1}] * 5},
    ),
}


class Builder:
    """Of any features and examples."""

    VERSION = library.core.Version('1.0.0')
    pkg_dir_path = None

    def _info(self):
        described = features.FeaturesDict(SETS[self.key][0])
        return library.core.DatasetInfo(builder=self, features=described)

    def _split_generators(self, manager):
        return {name: self._generate_examples(rows) for name, rows in SETS[self.key][1].items()}

    def _generate_examples(self, rows):
        yield from enumerate(rows)


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data')
    library.disable_progress_bar()
    for key in SETS:
        *above, name = key.split('/')
        with registered.skip_registration():
            kind = type(name, (Builder, library.core.GeneratorBasedBuilder), {'key': key})
            kind.name = name
        builder = kind(data_dir=str(folder.joinpath(*above)), file_format='array_record')
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    return folder


@pytest.fixture(autouse=True)
def folders(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(prepared))
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


def test_pictures_are_what_they_were(prepared):
    data = lookup.build('data', dict(name='tfds', dataset='pictures', validation=2))
    assert (data.train.size, data.validation.size, data.test.size) == (7, 2, 6)
    stored = np.asarray(data.test.arrays['image'])[:, 0, 0, 0]
    np.testing.assert_array_equal(data.test.arrays['label'], stored % 3)
    assert data.target.classes == ('0', '1', '2') and data.inputs['image'].shape == (4, 4, 1)
    assert 'tensorflow' not in sys.modules


def test_a_text_and_a_class():
    pytest.importorskip('tokenizers')
    data = tfds('news', columns=('story',), vocabulary=60, length=9, validation=8)
    assert (data.train.size, data.validation.size, data.test.size) == (32, 8, 10)
    assert set(data.inputs) == {'tokens', 'segments'} and data.target.classes == CLASSES
    tokens = data.test.arrays['tokens']
    begin, separator = MARKS.index('[CLS]'), MARKS.index('[SEP]')
    assert (tokens[:, 0] == begin).all() and (tokens[:, 6] == separator).all()
    np.testing.assert_array_equal(data.test.arrays['segments'], tokens != 0)
    # no word of a class is in a text of the other one
    words = [set(tokens[data.test.arrays['label'] == label, 1:6].flat) for label in range(2)]
    assert words[0] and words[1] and not words[0] & words[1]


def test_two_texts_in_the_order_that_is_asked_for():
    pytest.importorskip('tokenizers')
    data = tfds('news', columns=('title', 'story'), vocabulary=200, length=32)
    turned = tfds('news', vocabulary=200, length=32)  # story before title
    for each, size in ((data, 3), (turned, 5)):
        tokens, kinds = each.test.arrays['tokens'], each.test.arrays['kinds']
        ends = (tokens == MARKS.index('[SEP]')).argmax(1)
        assert ends.min() >= size + 1
        assert set(kinds.flat) == {0, 1} and (kinds[:, :4] == 0).all()
    assert data.schema['columns'].keys() == {'title', 'story'}
    assert data.schema['label']['classes'] == {'sport': 20, 'art': 20}


@pytest.mark.parametrize('columns', [('story',), ('title', 'story')])
def test_an_encoder_takes_both(columns):
    pytest.importorskip('tokenizers')
    data = dict(name='tfds', dataset='news', columns=columns, vocabulary=60, length=32)
    model = dict(name='encoder', width=8, blocks=1, heads=2)
    workload = lookup.build('workload', dict(name='binary', data=data, model=model))

    def loss(examples):
        params, state = workload.init(jax.random.key(0))
        return workload.loss(params, state, examples, jax.random.key(1))[0]

    assert jax.tree.leaves(jax.eval_shape(loss, workload.test.arrays))


def test_hidden_labels_are_not_tested_on():
    pytest.importorskip('tokenizers')
    data = tfds('glue/news', vocabulary=60, length=8)
    assert (data.train.size, data.test.size) == (40, 12)
    assert tfds('glue', vocabulary=60, length=8).test.size == 12


def test_hidden_numbers_are_not_tested_on():
    data = tfds('scores', kind='table', label='score')
    assert (data.train.size, data.test.size) == (40, 12)
    ages = data.test.arrays['numeric'][:, 0]
    np.testing.assert_array_equal(data.test.arrays['score'], ages / 2)


def test_the_highest_version_is_read(prepared, tmp_path, monkeypatch):
    for version in ('1.9.0', '1.10.0'):
        copy = tmp_path / 'pictures' / version
        shutil.copytree(prepared / 'pictures' / '1.0.0', copy)
        described = json.loads((copy / 'dataset_info.json').read_text())
        described['version'] = version
        (copy / 'dataset_info.json').write_text(json.dumps(described))
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    assert opened('pictures').folder.name == '1.10.0'


def test_texts_for_a_language_model():
    data = tfds('news', kind='tokens', columns=('story',), vocabulary=257, length=16)
    rows = np.append(data.train.arrays['tokens'].ravel(), data.train.arrays['targets'][-1, -1])
    stories = {each['story'] for each in SETS['news'][1]['train']}
    texts = bytes(np.where(rows < 256, rows, ord('\n')).astype(np.uint8)).decode().split('\n')
    assert len(texts) > 30 and set(texts[:-1]) <= stories
    assert data.target.kind == 'tokens' and data.schema['unit'] == 'bytes'


@pytest.mark.parametrize('fold', [None, 1])
def test_a_table(fold):
    data = tfds('people', label='rich', fold=fold, folds=4, validation=6 if fold is None else 0)
    parts = [part for part in (data.train, data.validation, data.test) if part is not None]
    assert data.test.size == (12 if fold is None else 15)
    assert sum(part.size for part in parts) == 60
    assert data.inputs['numeric'].columns == ('age', 'children')
    described = data.inputs['categorical']
    assert described.columns == ('is_tall', 'job', 'town')
    assert described.categories[1:] == (('baker', 'smith'), ('Bath', 'York'))
    assert data.target.classes == ('no', 'yes')
    for part in parts:
        number = part.arrays['numeric'][:, 0].astype(int)
        np.testing.assert_array_equal(part.arrays['rich'], number // 2 % 2)
        np.testing.assert_array_equal(part.arrays['categorical'][:, 1], 1 + number % 2)
        np.testing.assert_array_equal(part.arrays['numeric'][:, 1], number % 4)


def test_a_number_may_be_the_label():
    data = tfds('people', label='age', columns=('job', 'children'), bins=2)
    assert data.target.kind == 'number'
    np.testing.assert_array_equal(data.test.arrays['age'] % 1, 0.5)
    assert data.inputs['categorical'].columns == ('job', 'children')


@pytest.mark.parametrize(
    'arguments, problem',
    [
        (dict(dataset='people'), r"label: found no feature 'label'; allowed: age \(Tensor\), "),
        (
            dict(dataset='news', label='story'),
            "label: found 'story', a Text; allowed: a feature of",
        ),
        (
            dict(dataset='news', columns=('label',)),
            "columns: found 'label'; allowed: 1 or 2 of the",
        ),
        (dict(dataset='news', kind='tokens'), "columns: found 'story', 'title'; allowed: 1 of the"),
        (dict(dataset='people', kind='texts'), 'columns: found no texts; allowed: 1 or 2 of the'),
        (dict(dataset='people', label='rich', columns=('x',)), "columns: found 'x'; allowed: age"),
        (dict(dataset='news', kind='images'), r'found features label \(ClassLabel\), story'),
        (
            dict(dataset='lists'),
            r"feature 'words': found Sequence of shape \(None,\); allowed: num",
        ),
        (
            dict(dataset='news', augment=dict(flip=0.5)),
            r"augment: found \{'flip': 0.5\} with kind 'texts'; allowed",
        ),
        (dict(dataset='news', kind='tokens', fold=0), "fold: found 0 with kind 'tokens'; allowed"),
        (dict(dataset='none'), 'none is not prepared in .* Run: tfds.builder'),
    ],
)
def test_what_it_holds_is_told(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        tfds(**arguments)
