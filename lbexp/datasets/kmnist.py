"""Kuzushiji-MNIST: Japanese characters in cursive script, 28x28."""

import pathlib

from lbexp.datasets import Dataset
from lbexp.datasets._archive import archive
from lbexp.datasets._originals import idx_parts, labelled, missing, parts
from lbexp.datasets._prepared import Options, labelled_images, prepared_images
from lbexp.ranges import Fraction, NonNegativeInteger, Number, PositiveInteger

_SOURCE = 'Clanuwat et al. 2018, arXiv:1812.01718; CC BY-SA 4.0'

_CLASSES = ('o', 'ki', 'su', 'tsu', 'na', 'ha', 'ma', 'ya', 're', 'wo')


def kmnist(
    validation: NonNegativeInteger = 0,
    replacement: bool = False,
    fold: NonNegativeInteger | None = None,
    folds: PositiveInteger = 5,
    augment: dict[str, Number] | None = None,
    examples: PositiveInteger | None = None,
    label_noise: Fraction = 0.0,
    path: str | None = None,
) -> Dataset:
    """60,000 images [28, 28, 1] to train, 10,000 to test, of 10 classes (Clanuwat et al. 2018,
    arXiv:1812.01718).

    Args:
        validation, replacement, fold, folds, augment, examples, label_noise: as in digits.
        path: folder of the four IDX files, packed or not, or of the four archives
            kmnist-train-imgs.npz, ...; None: as `python -m lbexp.data.prepare kmnist` has prepared
            it.

    Raises:
        ValueError: it is not prepared, or the files are not there or damaged.
    """
    options = Options(validation, replacement, fold, folds, augment, examples, label_noise)
    if path is not None:
        train, test = parts(path, _read)
        return labelled_images(train, test, 1 / 255, _CLASSES, _SOURCE, options)
    return prepared_images('kmnist', 1 / 255, _CLASSES, _SOURCE, options)


def _read(folder: pathlib.Path):
    if not (folder / 'kmnist-train-imgs.npz').is_file():
        examples = idx_parts(folder, '', len(_CLASSES))
        if examples is None:
            raise missing(folder, 'kmnist-train-imgs.npz', 'the four archives', 'the IDX files')
        return examples
    pairs = []
    for part in ('train', 'test'):
        images, labels = (folder / f'kmnist-{part}-{kind}.npz' for kind in ('imgs', 'labels'))
        if not labels.is_file() or not images.is_file():
            raise missing(folder, labels.name, images.name, labels.name)
        pixels, numbers = (next(iter(archive(file).arrays.values())) for file in (images, labels))
        pairs.append(labelled(pixels, numbers, len(_CLASSES), images))
    return pairs[0], pairs[1]
