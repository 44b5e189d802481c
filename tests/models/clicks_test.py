"""Models of clicks: their equations in float64, and what they do not depend on."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click_tables import INPUTS, numbers, table, with_noise
from scipy import optimize

from lbexp.data.source import memory
from lbexp.datasets import Dataset
from lbexp.inputs import Input, Target
from lbexp.models._fields import FieldVectors
from lbexp.models.autoint import autoint
from lbexp.models.co_action import co_action
from lbexp.models.compressed_fields import compressed_fields, principal
from lbexp.models.dcn import CrossLayer, dcn
from lbexp.models.linear import linear
from lbexp.workloads.binary import binary
from lbexp.workloads.regression import regression

MODELS = {
    'linear': linear(),
    'no crosses': dcn(layers=0, hidden=(4,), embedding=3),
    'vector': dcn('vector', hidden=(4,), embedding=3),
    'matrix': dcn('matrix', hidden=(4,), embedding=3, structure='parallel'),
    'crosses alone': dcn('matrix', hidden=(), embedding=3),
    'low rank': dcn('matrix', hidden=(4,), embedding=3, rank=2),
    'mixture': dcn('mixture', hidden=(4,), embedding=3),
    'autoint': autoint(width=3, embedding=3),
    'autoint beside a perceptron': autoint(width=3, embedding=3, hidden=(4,)),
    'co_action': co_action([('film', 'user')], hidden=(4,), embedding=3, widths=(3, 2)),
    'random': compressed_fields(2, 'random', hidden=(4,), embedding=3),
    'learned': compressed_fields(2, 'learned', hidden=(4,), embedding=3),
    'pca': compressed_fields(2, 'pca', hidden=(4,), embedding=3),
}


def data(arrays=None, inputs=INPUTS):
    source = memory(table() if arrays is None else arrays)
    return Dataset(source, inputs, Target('class', classes=('no', 'yes')), test=source)


@pytest.mark.long
@pytest.mark.parametrize('name', MODELS)
def test_an_example_alone_is_what_it_is_in_company_and_every_parameter_is_used(name):
    part = binary(data(), MODELS[name])
    params, state = part.init(jax.random.key(0))
    params = jax.tree.map(lambda leaf: leaf + 0.3 * numbers(leaf.shape), params)
    arrays = table()
    whole = part.predict(params, state, arrays)
    alone = part.predict(params, state, {key: values[3:4] for key, values in arrays.items()})
    assert whole.shape == (40,)
    np.testing.assert_allclose(alone, whole[3:4], rtol=1e-5, atol=1e-5)

    def mean(params):
        return part.loss(params, state, arrays, None)[0]['loss'].mean()

    for path, gradient in jax.tree_util.tree_leaves_with_path(jax.grad(mean)(params)):
        assert jnp.any(gradient != 0), jax.tree_util.keystr(path)


@pytest.mark.long
@pytest.mark.parametrize('form', ['vector', 'matrix', 'mixture'])
@pytest.mark.parametrize('layers', [1, 3])
def test_a_network_of_crosses_has_a_known_degree(form, layers):
    """Along a line t x_0 the output of `layers` crosses is a polynomial of degree layers + 1 in t;
    of a mixture, whose tanh and softmax are no polynomials, it is none."""
    x0 = 3 * numbers((1, 4))
    module = CrossLayer(form)
    _, params = with_noise(module, x0, x0)
    with jax.enable_x64(True):
        along = jnp.linspace(-1, 1, 12)[:, None] * jnp.asarray(x0, jnp.float64)
        x = along
        for _ in range(layers):
            x = module.apply({'params': params}, along, x)
    x, t = np.asarray(x), np.linspace(-1, 1, 12)

    def misfit(degree):
        fit = np.polynomial.polynomial.polyfit(t, x, degree)
        return abs(np.polynomial.polynomial.polyval(t, fit).T - x).max() / abs(x).max()

    assert misfit(layers) > 1e-5
    assert (misfit(layers + 1) < 1e-10) == (form != 'mixture')


def test_a_fixed_projection_is_no_parameter_and_a_seed_chooses_it():
    def built(seed, projection='random'):
        model = compressed_fields(2, projection, (4,), 3, projection_seed=seed)
        part = binary(data(), model)
        params, state = part.init(jax.random.key(0))
        return params, part.predict(params, state, table())

    params, outputs = built(0)
    assert 'projection' not in params and 'projection' in built(0, 'learned')[0]
    assert np.array_equal(outputs, built(0)[1]) and not np.array_equal(outputs, built(1)[1])


def test_linear_is_logistic_regression():
    """At SciPy's optimum, found on columns of 0 and 1, its loss is the same and its gradient 0."""
    arrays = table(200)
    columns = [arrays['numeric']]
    for column, size in zip(arrays['categorical'].T, (4, 3, 5)):
        columns.append(np.eye(size)[column])
    design = np.concatenate(columns, axis=1).astype(float)
    signs = 2.0 * arrays['label'] - 1

    def objective(weights):
        margins = signs * (design @ weights[:-1] + weights[-1])
        slope = -signs / (1 + np.exp(margins)) / 200
        return np.logaddexp(0, -margins).mean(), np.append(design.T @ slope, slope.sum())

    best = optimize.minimize(objective, np.zeros(15), jac=True, options={'gtol': 1e-9})
    part = binary(data(arrays), linear())
    params, state = part.init(jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 15
    at = {'slopes': best.x[:2].reshape(2, 1, 1), 'categories': best.x[2:14, None]}
    vectors = jax.tree.map(jnp.float32, at)
    assert set(params) == {'vectors', 'bias'} and set(params['vectors']) == set(vectors)
    params = {'vectors': vectors, 'bias': jnp.full((1, 1), best.x[14], jnp.float32)}

    def mean(params):
        return part.loss(params, state, arrays, None)[0]['loss'].mean()

    loss, gradient = jax.value_and_grad(mean)(params)
    np.testing.assert_allclose(loss, best.fun, rtol=1e-5)
    assert max(abs(leaf).max() for leaf in jax.tree.leaves(gradient)) < 1e-6


@pytest.mark.long
def test_models_of_a_number():
    arrays = table()
    arrays['label'] = arrays['numeric'][:, 0] * 2
    held = Dataset(memory(arrays), INPUTS, Target('number'), test=memory(arrays))
    for model in MODELS.values():
        part = regression(held, model)
        params, state = part.init(jax.random.key(0))
        assert part.predict(params, state, arrays).shape[0] == 40


PICTURES = {'image': Input('image', (8, 8, 1), 'uint8')}


@pytest.mark.parametrize(
    ('make', 'problem'),
    [
        (lambda: linear().network(PICTURES, 1), "linear: found 'image', image of shape"),
        (lambda: dcn().network(PICTURES, 1), "dcn: found 'image', image of shape"),
        (
            lambda: co_action([('film', 'age')]).network(INPUTS, 1),
            "pairs: found 'age'; allowed: categorical columns, 'film', 'user', 'town'",
        ),
        (lambda: co_action([]), 'pairs, widths: found 0 pairs, 3 widths; allowed: one pair'),
        (lambda: co_action([('film', 'user')], widths=(16,)), 'found 1 pairs, 1 widths'),
        (lambda: dcn(hidden=(8, 0)), 'hidden: found 0; allowed: integers >= 1'),
        (lambda: dcn('cubic'), "cross: found 'cubic'; allowed:"),
        (lambda: compressed_fields(0), 'combinations: found 0; allowed: an integer >= 1'),
    ],
)
def test_what_does_not_fit(make, problem):
    with pytest.raises(ValueError, match=problem) as refused:
        make()
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        (
            dict(categorical=np.full((40, 3), 3, np.int32)),
            'train: categorical: found id 3; allowed: 0 .. 4, the vocabulary',
        ),
        (dict(categorical=np.full((40, 3), -1, np.int32)), 'found id -1; allowed'),
        (dict(numeric=None), "data: train: found no 'numeric'; allowed: categorical, label"),
    ],
)
def test_data_that_is_not_what_is_described(change, problem):
    arrays = {key: values for key, values in {**table(), **change}.items() if values is not None}
    with pytest.raises(ValueError, match=problem):
        binary(data(arrays), linear())


def test_principal_directions_keep_the_most():
    """As many of the largest squared singular values as there are directions (Ky Fan 1949)."""
    x = numbers((200, 6, 3)).astype(np.float64) @ np.diag([3.0, 1.0, 0.5])
    x[:, 2] += 2 * x[:, 0]
    moments = np.einsum('nfe,nge->fg', x, x) / len(x)
    projection = np.asarray(principal(jnp.asarray(moments), 2), np.float64)
    np.testing.assert_allclose(projection @ projection.T, np.eye(2), atol=1e-6)
    singular = np.linalg.svd(x.transpose(1, 0, 2).reshape(6, -1), compute_uv=False)
    kept = np.einsum('kf,nfe->nke', projection, x)
    assert (kept**2).sum() == pytest.approx((singular[:2] ** 2).sum(), rel=1e-5)
    assert np.all(projection[np.arange(2), np.abs(projection).argmax(1)] > 0)


def test_principal_directions_are_those_of_the_training_rows_and_then_stay(monkeypatch):
    monkeypatch.setattr('lbexp.models.compressed_fields._FITTED', 3)
    part = binary(data(), compressed_fields(2, 'pca', hidden=(4,), embedding=3))
    params, state = part.init(jax.random.key(0))
    params = jax.tree.map(lambda leaf: leaf + 0.3 * numbers(leaf.shape), params)
    arrays = table()
    fields = FieldVectors((4, 3, 5), 2, 3).apply({'params': params['vectors']}, arrays)
    step = jax.jit(lambda state: part.loss(params, state, arrays, None)[1])
    first = step(state)['principal']
    expected = np.einsum('nfe,nge->fg', *[np.asarray(fields, np.float64)] * 2) / (40 * 3)
    np.testing.assert_allclose(first['moments'], expected, rtol=1e-4, atol=1e-6)
    states = [state]
    for _ in range(4):
        states.append(step(states[-1]))
    moments = [each['principal']['moments'] for each in states]
    assert [np.array_equal(*pair) for pair in itertools.pairwise(moments)] == [False] * 3 + [True]
    # evaluation looks, and changes nothing
    assert part.metrics(params, state, arrays)['loss'].shape == (40,)
    with pytest.raises(ValueError, match="found 6 combinations of 5 columns with 'pca'"):
        binary(data(), compressed_fields(6, 'pca'))
