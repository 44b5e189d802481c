"""Data sets of TensorFlow Datasets that are prepared on this machine, read without TensorFlow."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lbexp.data.prepared import VERSIONS, data_dir
from lbexp.data.records import Records

_USUAL_LABEL = 'label'


class Prepared(NamedTuple):
    """A data set as TFDS has written it."""

    name: str
    folder: pathlib.Path  # of its files
    features: dict[str, Any]  # TFDS's descriptions, in the order of their names
    splits: tuple[str, ...]
    builder: Any

    def examples(self, split: str) -> list[dict[str, Any]]:
        """All of a split, in stored order."""
        records = Records(self.builder.as_data_source(split=split), [self.folder])
        return records.__getitems__(range(len(records)))

    def label(self, label: str | None) -> str:
        """The feature of this name; None: the one that TFDS calls supervised, or `label`.

        Raises:
            ValueError: there is none.
        """
        if label is None:
            keys = self.builder.info.supervised_keys
            label = keys[-1] if keys and isinstance(keys[-1], str) else _USUAL_LABEL
        if label not in self.features:
            raise ValueError(
                f'label: found no feature {label!r}; allowed: {in_words(self.features)}'
            )
        return label

    def texts(self) -> list[str]:
        """The features that are texts, of any length."""
        return [name for name, feature in self.features.items() if _is(feature, 'Text')]


def opened(dataset: str) -> Prepared:
    """The data set of this name, or NAME/CONFIG, in the highest version that is prepared.

    Raises:
        ValueError: it is not prepared, or in several configurations.
    """
    import tensorflow_datasets as library  # 2 s

    home = data_dir() / dataset
    files = [*home.glob('*/dataset_info.json')] or [*home.glob('*/*/dataset_info.json')]
    if not files:
        how = f'python -m lbexp.data.prepare {dataset}'
        if dataset not in VERSIONS:
            how = (
                f'tfds.builder({dataset!r}, file_format="array_record").download_and_prepare() in '
                'Python, with TensorFlow at hand'
            )
        raise ValueError(f'{dataset} is not prepared in {data_dir()}. Run: {how}')
    homes = sorted({file.parent.parent.relative_to(data_dir()).as_posix() for file in files})
    if len(homes) > 1:
        raise ValueError(f'dataset: found {dataset!r}; allowed: {", ".join(map(repr, homes))}')
    folder = max(files, key=_version).parent
    builder = library.builder_from_directory(folder)
    # read from a file, they come in any order
    features = dict(sorted((builder.info.features or {}).items()))
    return Prepared(dataset, folder, features, tuple(builder.info.splits), builder)


def _version(file):
    """Of a data set, in whose folder the file lies."""
    return tuple(int(part) for part in file.parent.name.split('.') if part.isdecimal())


def test_split(data: Prepared, label: str | None) -> str:
    """The split that is tested on: 'test', or 'validation' where it is not there or its labels are
    not known.

    Args:
        label: the feature of labels; None: none are needed.

    Raises:
        ValueError: there is no such split, or none to train on.
    """
    for split in ('test', 'validation'):
        if not {'train', split} <= set(data.splits):
            continue
        if label is None or _has_labels(data, split, label):
            return split
    raise ValueError(
        f'{data.name}: found splits {", ".join(data.splits)}; allowed: train, and test or '
        'validation with labels'
    )


def _has_labels(data, split, label):
    """Where they are hidden each is -1."""
    labels = [row[label] for row in data.examples(split)]
    if _is(data.features[label], 'ClassLabel'):
        return all(number >= 0 for number in labels)
    return any(value != -1 for value in labels)


def in_words(features: dict[str, Any]) -> str:
    """Names and kinds of features."""
    return ', '.join(f'{name} ({type(each).__name__})' for name, each in features.items())


def texts_of(examples: Sequence[dict[str, Any]], name: str) -> list[str]:
    """A feature of texts."""
    return [example[name].decode(errors='replace') for example in examples]


def column(data: Prepared, examples: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """A feature as a column of a table: texts, for classes their names, else numbers; a class that
    is not known, -1 in TFDS, is an empty text.

    Raises:
        ValueError: it is not one text or number for each example.
    """
    feature = data.features[name]
    if tuple(feature.shape or ()) != () or not hasattr(feature, 'np_dtype'):
        raise ValueError(
            f'{data.name}: feature {name!r}: found {type(feature).__name__} of shape '
            f'{feature.shape}; allowed: numbers, classes and texts, by columns=(...)'
        )
    values = [example[name] for example in examples]
    if _is(feature, 'ClassLabel'):
        names = ['' if number < 0 else feature.int2str(int(number)) for number in values]
        return np.array(names, np.str_)
    if values and isinstance(values[0], bytes):
        return np.array([text.decode(errors='replace') for text in values], np.str_)
    return np.asarray(values)


def _is(feature, kind):
    # by its name: what a data set has of its own may be a subclass
    return any(each.__name__ == kind for each in type(feature).__mro__)
