"""Any data set of pictures, texts or columns of TensorFlow Datasets that is prepared on this
machine."""

import functools
import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from lbexp.data.augmentation import augmented
from lbexp.data.division import known_fold
from lbexp.data.prepared import data_dir
from lbexp.data.splits import divided
from lbexp.datasets import Dataset
from lbexp.datasets._byte_pairs import check_vocabulary, texts_of_bytes
from lbexp.datasets._columns import Choice
from lbexp.datasets._decoded import Columns, stamp
from lbexp.datasets._division import Division, parted
from lbexp.datasets._inferred import Options, encoded_columns
from lbexp.datasets._labelled_texts import LabelledTexts, TextOptions, classified_texts
from lbexp.datasets._texts import next_token_data
from lbexp.datasets._tfds import column, in_words, opened, test_split, texts_of
from lbexp.inputs import Input, Target
from lbexp.ranges import NonNegativeInteger, Number, OpenFraction, PositiveInteger, checked

_PICTURE = {'image', 'label'}
Kind = Literal['images', 'texts', 'tokens', 'table']


@checked
def tfds(
    dataset: str,
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
    kind: Kind | None = None,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    vocabulary: PositiveInteger = 4000,
    length: PositiveInteger = 64,
    bins: PositiveInteger | None = None,
    encoding: Literal['categories', 'piecewise_linear'] = 'categories',
    missing: Literal['refuse', 'mean'] = 'refuse',
    test: OpenFraction = 0.2,
) -> Dataset:
    """The training and test examples of a data set, all in memory.

    It is read from TFDS_DATA_DIR, in array_record, as `tfds.builder(NAME,
    file_format='array_record').download_and_prepare()` leaves it; nothing is downloaded. Test
    examples are those of the split 'test', or of 'validation' where it has no labels (-1) or is not
    there; of a table that has neither, a share of 'train'.

    Args:
        dataset: its name, 'cifar10', or NAME/CONFIG, 'glue/sst2'.
        validation, replacement, fold, folds, augment: as in digits; augment of images alone. Of a
            table without a test split a fold is the test set; with kind 'tokens' there are none.
        kind: 'images': features `image` and `label`. 'texts': a text, or two, as rows of pieces of
            words for the model `encoder`, with a class. 'tokens': a text for the workload
            `language_model`: bytes, and above a vocabulary of 257 pairs of them, as in sotu.
            'table': numbers, classes and texts as in lbexp.datasets.file. None: images where there
            are some, else texts where there are some, else a table.
        label: the feature of classes; None: what TFDS calls supervised, or `label`. Of a table it
            may be a number.
        columns: the features that are inputs: of texts one, or (first, second); None: all texts, in
            the order of their names; of a table all but the label.
        vocabulary: pieces or tokens.
        length: of a row of them [positions].
        bins, encoding, missing: of numbers of a table, see lbexp.datasets.file.
        test: share of the examples, where a table has no test split.

    Raises:
        ValueError: it is not prepared, or has other features or splits; the library `tokenizers` is
            not there (pip install lbexp[text]).
    """
    folder = str(data_dir())
    names = None if columns is None else tuple(columns)
    if kind is None:
        kind = _kind(dataset, folder)
    if augment is not None and kind != 'images':
        raise ValueError(f'augment: found {dict(augment)} with kind {kind!r}; allowed: None')
    if kind == 'images':
        pictures = _pictures(dataset, folder)
        parts = divided(pictures.train, pictures.test, validation, replacement, fold, folds)
        return _images(dataset, parts, pictures.classes, augment)
    if kind == 'tokens':
        if fold is not None:
            raise ValueError(f"fold: found {fold} with kind 'tokens'; allowed: None")
        check_vocabulary(vocabulary)
        texts = _tokens(dataset, folder, names, vocabulary, length)
        return next_token_data(texts, validation, replacement)
    if fold is not None:
        fold = known_fold(fold, 'the training examples of each fold decide what is a category')
    if kind == 'texts':
        options = TextOptions(vocabulary, length, validation, replacement, fold, folds)
        return _texts(dataset, folder, label, names, options)
    choice = Choice(names, (), (), missing, bins, encoding)
    division = Division(test, None, None, fold, folds)
    of_table = Options(label, None, choice, division, validation, replacement, None)
    return _table(dataset, folder, of_table)


@functools.lru_cache(8)
def _kind(dataset, folder) -> Kind:
    data = opened(dataset)
    if 'image' in data.features:
        return 'images'
    return 'texts' if data.texts() else 'table'


class _Pictures(NamedTuple):
    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    classes: tuple[str, ...]


@functools.lru_cache(2)
def _pictures(dataset, folder):
    data = opened(dataset)
    if not set(data.features) >= _PICTURE or not {'train', 'test'} <= set(data.splits):
        contents = f'features {in_words(data.features)}, splits {", ".join(data.splits)}'
        allowed = 'image and label, train and test'
        raise ValueError(f'{dataset}: found {contents}; allowed: {allowed}')
    train, test = (_stacked(dataset, data.examples(split)) for split in ('train', 'test'))
    return _Pictures(train, test, tuple(data.features['label'].names))


def _stacked(dataset, examples):
    shapes = {np.shape(example['image']) for example in examples}
    if len(shapes) != 1:
        raise ValueError(f'{dataset}: found images of {len(shapes)} sizes; allowed: one size')
    images = np.stack([example['image'] for example in examples])
    return {'image': images, 'label': np.stack([example['label'] for example in examples])}


def _images(dataset, parts, classes, augment):
    image = parts['train'].arrays['image']
    return Dataset(
        train=augmented(parts['train'], 'image', augment),
        validation=parts['validation'],
        test=parts['test'],
        inputs={'image': Input('image', image.shape[1:], image.dtype.name, 1 / 255)},
        target=Target('class', classes=classes),
        source=_source(dataset),
    )


def _source(dataset):
    return f'TensorFlow Datasets: {dataset}'


@functools.lru_cache(2)
def _tokens(dataset, folder, columns, vocabulary, length):
    data = opened(dataset)
    (name,) = _text_columns(data, columns, most=1)
    split = test_split(data, None)
    train, tested = (texts_of(data.examples(each), name) for each in ('train', split))
    return texts_of_bytes(train, tested, vocabulary, length, _source(dataset), f'split {split}')


@functools.lru_cache(2)
def _texts(dataset, folder, label, columns, options):
    data = opened(dataset)
    names = _text_columns(data, columns, most=2)
    label = data.label(label)
    feature = data.features[label]
    if not hasattr(feature, 'int2str'):
        kind = type(feature).__name__
        raise ValueError(f'label: found {label!r}, a {kind}; allowed: a feature of classes')
    split = test_split(data, label)
    examples = {}
    for each in ('train', split):
        rows = data.examples(each)
        labels = [row[label] for row in rows]
        examples[each] = LabelledTexts(tuple(texts_of(rows, name) for name in names), labels)
    classes = [feature.int2str(number) for number in range(feature.num_classes)]
    content = f'{stamp(data.folder)} {label}'
    return classified_texts(
        examples['train'], examples[split], names, classes, _source(dataset), content, options
    )


def _text_columns(data, columns, most):
    """The features that are read as texts."""
    names = tuple(data.texts()) if columns is None else columns
    unknown = [name for name in names if name not in data.texts()]
    if unknown or not 1 <= len(names) <= most:
        chosen = ', '.join(map(repr, names)) or 'no texts'
        allowed = ' or '.join(map(str, range(1, most + 1)))
        raise ValueError(
            f'columns: found {chosen}; allowed: {allowed} of the texts in {in_words(data.features)}'
        )
    return names


@functools.lru_cache(2)
def _table(dataset, folder, options):
    data = opened(dataset)
    label = data.label(options.label)
    names = [*(options.choice.columns or [name for name in data.features if name != label]), label]
    unknown = [name for name in names if name not in data.features]
    if unknown:
        raise ValueError(f'columns: found {unknown[0]!r}; allowed: {in_words(data.features)}')
    splits = ['train']
    if {'test', 'validation'} & set(data.splits):
        splits.append(test_split(data, label))
    parts = [data.examples(split) for split in splits]
    rows = list(itertools.chain.from_iterable(parts))
    is_test = None
    if len(parts) == 2:
        is_test = np.repeat([False, True], list(map(len, parts)))
    columns = Columns({name: column(data, rows, name) for name in names}, is_test)
    options = options._replace(label=label)
    arrays, places, inputs, target, schema = encoded_columns(
        columns, True, _source(dataset), options
    )
    return Dataset(
        **parted(arrays, places, options.replacement),
        inputs=inputs,
        target=target,
        source=_source(dataset),
        schema=schema,
    )
