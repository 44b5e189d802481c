"""Regression and yes or no, against NumPy; models on tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from training import tiny, train

from lbexp.config import lookup
from lbexp.data.source import memory
from lbexp.datasets import Dataset
from lbexp.inputs import Input, Target
from lbexp.models import Model, Network
from lbexp.models.cnn import cnn
from lbexp.models.mlp import mlp
from lbexp.workloads.binary import binary
from lbexp.workloads.regression import regression

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(50, 2)).astype(np.float32)


def slope(weight):
    """x -> weight x[0], a model whose outputs are known."""

    def network(inputs, outputs):
        def apply(params, state, arrays, train, key):
            return params['w'] * arrays['x'][:, :1], state

        return Network(lambda key: ({'w': jnp.float32(weight)}, {}), apply)

    return Model(network)


def dataset(labels, target):
    source = memory({'x': X, 'label': labels})
    return Dataset(source, {'x': Input('numeric', (2,), 'float32')}, target, test=source)


def measured(part):
    params, state = part.init(jax.random.key(0))
    examples = part.test.read(part.test.arrays, jnp.arange(50))
    values = part.metrics(params, state, examples)
    gathered = part.set_metrics.outputs(params, state, examples)
    return values, part.set_metrics.summary(gathered), part.predict(params, state, examples)


def test_regression_is_in_units_of_the_target():
    y = (10 + 3 * X[:, 0] + GENERATOR.normal(size=50)).astype(np.float32)
    mean, deviation = float(y.mean()), float(y.std())
    target = Target('number', mean=mean, deviation=deviation)
    part = regression(dataset(y, target), slope(0.8))
    values, summary, predicted = measured(part)
    expected = mean + deviation * 0.8 * X[:, 0].astype(np.float64)
    error = y.astype(np.float64) - expected
    np.testing.assert_allclose(predicted, expected, rtol=1e-5)
    np.testing.assert_allclose(values['loss'], (error / deviation) ** 2, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(values['absolute_error'], abs(error), rtol=1e-3, atol=1e-5)
    r2 = 1 - (error**2).sum() / ((y - y.mean(dtype=np.float64)) ** 2).sum()
    np.testing.assert_allclose(summary['r2'], r2, rtol=1e-5)


def test_binary_against_its_definition():
    y = (X[:, 0] + GENERATOR.normal(size=50) > 0).astype(np.int32)
    part = binary(dataset(y, Target('class', classes=('no', 'yes'))), slope(2.0))
    values, summary, logits = measured(part)
    p = 1 / (1 + np.exp(-2 * X[:, 0].astype(np.float64)))
    expected = -np.where(y, np.log(p), np.log1p(-p))
    np.testing.assert_allclose(values['loss'], expected, rtol=1e-4)
    assert np.array_equal(values['accuracy'], (p > 0.5) == y)
    pairs = p[y == 1][:, None] - p[y == 0][None]
    auc = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    np.testing.assert_allclose(summary['auc'], auc, rtol=1e-6)
    # precision where each positive is reached; no two scores are equal
    labels = y[np.argsort(-p)]
    precision = np.cumsum(labels) / np.arange(1, 51)
    expected = (precision * labels).sum() / labels.sum()
    np.testing.assert_allclose(summary['average_precision'], expected, rtol=1e-6)
    assert set(summary) == {'auc', 'average_precision'}
    np.testing.assert_allclose(logits, 2 * X[:, 0], rtol=1e-6)
    assert part.output_names == ('yes',)


def test_tasks_refuse_targets_of_another_kind():
    number = dataset(X[:, 0], Target('number'))
    three = dataset(np.zeros(50, np.int32), Target('class', classes=('a', 'b', 'c')))
    with pytest.raises(ValueError, match="found 'label', a number, with binary; allowed: a class"):
        binary(number, slope(1.0))
    with pytest.raises(ValueError, match="'label' of 3 classes with binary; allowed: 2"):
        binary(three, slope(1.0))
    with pytest.raises(ValueError, match='a class, with regression; allowed: a number'):
        regression(three, slope(1.0))
    with pytest.raises(ValueError, match=r'cnn: found inputs of shapes .* allowed: one image'):
        regression(number, cnn())


def test_an_mlp_on_a_table_has_a_vector_for_each_category():
    inputs = {
        'numeric': Input('numeric', (2,), 'float32'),
        'categorical': Input('categorical', (2,), 'int32', vocabulary=(3, 5)),
    }
    network = mlp((32,), embedding=6).network(inputs, 1)
    params, state = network.init(jax.random.key(0))
    table = params['categorical_embedding']['embedding']
    assert table.shape == (3 + 5, 6)
    # as small as in the models of clicks
    assert 0.003 < np.std(table) < 0.03
    x = {'numeric': X[:1], 'categorical': jnp.array([[2, 4]])}

    def output(params):
        return network.apply(params, state, x, False, None)[0].sum()

    gradient = jax.grad(output)(params)['categorical_embedding']['embedding']
    # columns do not share vectors: the last of 3 ids, and the last of the 5 behind them
    assert np.flatnonzero(np.abs(gradient).sum(1)).tolist() == [2, 7]


def test_a_cohort_over_augmentation_and_dropout_is_each_trial_alone(tmp_path):
    part = dict(
        name='classification',
        data=dict(name='digits', augment=dict(rotation=10.0, shift=0.1)),
        model=dict(name='mlp', hidden=(8,), dropout=0.1),
    )
    config = tiny(workload=part, steps=6, batch_size=8, num_rows=2, num_evaluations=1)
    config.sweep = (('workload.data.augment.rotation', (10.0, 30.0)),)
    together = train(config, tmp_path / 'together')
    config.sweep = ()
    config.workload.data.augment.rotation = 30.0
    alone = train(config, tmp_path / 'alone')
    second = [row for row in together if row['trial'] == 1]
    assert [{**row, 'trial': 0} for row in second] == alone
    assert second[-1]['loss'] != together[1]['loss']


def test_texts_stand_for_parts():
    texts = lookup.build('workload', dict(name='classification', data='digits', model='mlp'))
    dicts = lookup.build(
        'workload',
        dict(name='classification', data=dict(name='digits'), model=dict(name='mlp')),
    )
    assert texts.inputs == dicts.inputs and texts.train.size == dicts.train.size
    spelled = {
        'mine.npz': dict(name='file', path='mine.npz'),
        './photos': dict(name='file', path='./photos'),
        'C/table.csv': dict(name='file', path='C/table.csv'),
        'tfds:cifar10': dict(name='tfds', dataset='cifar10'),
        'my.package:load': dict(name='my.package:load'),
        'digits': dict(name='digits'),
    }
    for text, part in spelled.items():
        assert lookup.spelled_out('data', text) == part
    assert lookup.spelled_out('model', 'my.nets:Net') == dict(name='my.nets:Net')
    assert lookup.spelled_out('optimizer', 'sgd') == 'sgd'
