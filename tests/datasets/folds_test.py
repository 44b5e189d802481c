"""Cross validation of a data set that has a test split, and ids outside a vocabulary."""

import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.data.source import memory
from lbexp.datasets import Dataset
from lbexp.datasets.digits import digits
from lbexp.errors import Refusal
from lbexp.inputs import Input, Target
from lbexp.models.mlp import mlp
from lbexp.workloads.classification import classification


def test_folds_of_the_training_set_leave_the_test_set_alone():
    whole = digits()
    seen = []
    for fold in range(3):
        data = digits(fold=fold, folds=3)
        assert np.array_equal(data.test.arrays['image'], whole.test.arrays['image'])
        assert data.train.size + data.validation.size == 1438
        seen.append(data.validation.arrays['image'])
    rows = np.concatenate(seen).reshape(1438, -1)
    assert np.array_equal(
        np.unique(rows, axis=0), np.unique(whole.train.arrays['image'].reshape(1438, -1), axis=0)
    )


def test_a_fold_that_there_is_not_and_two_validation_sets():
    with pytest.raises(ValueError, match=r'fold: found 5; allowed: 0 .. 4 of 5 folds'):
        digits(fold=5)
    with pytest.raises(ValueError, match='validation, fold: found 100, 1; allowed: one of them'):
        digits(validation=100, fold=1)


@pytest.mark.parametrize(
    'ids, labels, problem',
    [
        ([[0], [3]], [0, 1], r'train: ids: found id 3; allowed: 0 .. 2, the vocabulary'),
        ([[-1], [0]], [0, 1], r'train: ids: found id -1'),
        ([[0], [1]], [0, 2], r'train: label: found id 2; allowed: 0 .. 1'),
        ([[0.0], [1.0]], [0, 1], r'train: ids: found float32; allowed: integers'),
    ],
)
def test_ids_outside_the_vocabulary(ids, labels, problem):
    examples = {'ids': np.array(ids), 'label': np.array(labels)}
    if examples['ids'].dtype == np.float64:
        examples['ids'] = examples['ids'].astype(np.float32)
    inputs = {'ids': Input('categorical', (1,), 'int32', vocabulary=(3,))}
    data = Dataset(memory(examples), inputs, Target('class', classes=('a', 'b')))
    with pytest.raises(ValueError, match=problem):
        classification(data, mlp((4,)))


def test_an_array_that_is_described_and_not_there():
    data = Dataset(
        memory({'x': jnp.ones((2, 1))}),
        {'x': Input('numeric', (1,), 'float32')},
        Target('class', classes=('a', 'b')),
    )
    with pytest.raises((ValueError, Refusal), match=r"train: found no 'label'; allowed: x"):
        classification(data, mlp((4,)))
