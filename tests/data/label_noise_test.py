"""Labels that are wrong on purpose, and fewer examples: counts, fixed draws, test set untouched."""

import numpy as np
import pytest

from lbexp.data.label_noise import some_examples, with_label_noise
from lbexp.datasets.digits import digits
from lbexp.datasets.mnist1d import mnist1d


def test_exactly_the_share_is_wrong_and_every_other_class_is_as_likely():
    labels = np.arange(40_000, dtype=np.int32) % 10
    noisy = with_label_noise(labels, 0.45, 10)
    wrong = noisy != labels
    assert wrong.sum() == 18_000 and noisy.dtype == labels.dtype
    # from each class to each other one: 200 expected, 5 standard deviations of a binomial
    table = np.zeros((10, 10), int)
    np.add.at(table, (labels[wrong], noisy[wrong]), 1)
    off = table[~np.eye(10, dtype=bool)]
    assert not np.diag(table).any() and np.abs(off - 200).max() < 5 * np.sqrt(200)
    np.testing.assert_array_equal(noisy, with_label_noise(labels, 0.45, 10))
    np.testing.assert_array_equal(labels, np.arange(40_000) % 10)
    np.testing.assert_array_equal(with_label_noise(labels, 0.0, 10), labels)


def test_fewer_examples_are_a_part_of_more():
    arrays = {'x': np.arange(100), 'y': -np.arange(100)}
    few, more = some_examples(arrays, 20), some_examples(arrays, 50)
    assert len(few['x']) == 20 and set(few['x']) < set(more['x'])
    assert (np.diff(few['x']) > 0).all() and (few['y'] == -few['x']).all()
    assert some_examples(arrays, None) is arrays
    with pytest.raises(ValueError, match='examples: found 101; allowed: at most 100'):
        some_examples(arrays, 101)


@pytest.mark.parametrize('dataset', [digits, mnist1d])
def test_the_training_set_alone_changes(dataset):
    plain, noisy = dataset(validation=100), dataset(validation=100, label_noise=0.3)
    for part in ('validation', 'test'):
        before, after = getattr(plain, part).arrays, getattr(noisy, part).arrays
        np.testing.assert_array_equal(before['label'], after['label'])
    wrong = plain.train.arrays['label'] != noisy.train.arrays['label']
    assert wrong.sum() == round(0.3 * plain.train.size)
    # the label of an example is the same, however many others there are
    few = dataset(validation=100, label_noise=0.3, examples=50).train.arrays
    assert len(few['label']) == 50
    rows = noisy.train.arrays['image'].reshape(noisy.train.size, -1)
    for image, label in zip(few['image'], few['label'], strict=True):
        places = (rows == image.reshape(-1)).all(1)
        assert label in noisy.train.arrays['label'][places]
