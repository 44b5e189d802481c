"""Any image classification data set of TensorFlow Datasets that is prepared on this machine."""

import functools

import numpy as np

from lbexp.data.augmentation import augmented
from lbexp.data.prepared import VERSIONS, data_dir
from lbexp.data.records import Records
from lbexp.data.splits import divided
from lbexp.datasets import Dataset
from lbexp.inputs import Input, Target
from lbexp.ranges import NonNegativeInteger, Number, PositiveInteger


def tfds(
    dataset: str,
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
) -> Dataset:
    """The training and test splits of a data set with features `image` and `label`, all in memory.

    It is read from TFDS_DATA_DIR, in array_record, as `tfds.builder(NAME,
    file_format='array_record').download_and_prepare()` leaves it; nothing is downloaded.

    Args:
        dataset: its name, 'cifar10'.
        validation, replacement, fold, folds, augment: as in digits.

    Raises:
        ValueError: it is not prepared, or has other features or splits.
    """
    train, test, names = _arrays(dataset, str(data_dir()))
    parts = divided(train, test, validation, replacement, fold, folds)
    image = train['image']
    return Dataset(
        train=augmented(parts['train'], 'image', augment),
        validation=parts['validation'],
        test=parts['test'],
        inputs={'image': Input('image', image.shape[1:], image.dtype.name, 1 / 255)},
        target=Target('class', classes=names),
        source=f'TensorFlow Datasets: {dataset}',
    )


@functools.lru_cache(2)
def _arrays(dataset, folder):
    import tensorflow_datasets as library  # 2 s

    versions = sorted((data_dir() / dataset).glob('*/dataset_info.json'))
    if not versions:
        how = f'python -m lbexp.data.prepare {dataset}'
        if dataset not in VERSIONS:
            how = (
                f'tfds.builder({dataset!r}, file_format="array_record").download_and_prepare() in '
                'Python, with TensorFlow at hand'
            )
        raise ValueError(f'{dataset} is not prepared in {folder}. Run: {how}')
    builder = library.builder_from_directory(versions[-1].parent)
    features, splits = builder.info.features or {}, builder.info.splits
    if not {'image', 'label'} <= set(features) or not {'train', 'test'} <= set(splits):
        contents = f'features {sorted(features)}, splits {sorted(splits)}'
        allowed = 'image and label, train and test'
        raise ValueError(f'{dataset}: found {contents}; allowed: {allowed}')
    arrays = []
    for split in ('train', 'test'):
        records = Records(builder.as_data_source(split=split), [versions[-1]])
        arrays.append(_stacked(dataset, records))
    return *arrays, tuple(features['label'].names)


def _stacked(dataset, records):
    examples = records.__getitems__(range(len(records)))
    shapes = {np.shape(example['image']) for example in examples}
    if len(shapes) != 1:
        raise ValueError(f'{dataset}: found images of {len(shapes)} sizes; allowed: one size')
    images = np.stack([example['image'] for example in examples])
    return {'image': images, 'label': np.stack([example['label'] for example in examples])}
