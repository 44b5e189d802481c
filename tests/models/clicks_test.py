"""Models of clicks: their equations in float64, and what they do not depend on."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from lbexp.data.source import memory
from lbexp.datasets import Dataset
from lbexp.inputs import Input, Target
from lbexp.models._fields import FieldVectors, below
from lbexp.models.autoint import FieldAttention, autoint
from lbexp.models.co_action import CoAction, co_action
from lbexp.models.compressed_fields import (
    compressed_fields,
    principal,
    products,
    random_projection,
)
from lbexp.models.dcn import CrossLayer, dcn
from lbexp.models.linear import linear
from lbexp.workloads.binary import binary
from lbexp.workloads.regression import regression

INPUTS = {
    'categorical': Input(
        'categorical', (3,), 'int32', vocabulary=(4, 3, 5), columns=('film', 'user', 'town')
    ),
    'numeric': Input('numeric', (2,), 'float32', columns=('age', 'year')),
}
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


def table(count=40, seed=0):
    generator = np.random.default_rng(seed)
    ids = [generator.integers(0, size, count) for size in INPUTS['categorical'].vocabulary]
    return {
        'categorical': np.stack(ids, axis=1).astype(np.int32),
        'numeric': generator.standard_normal((count, 2)).astype(np.float32),
        'label': generator.integers(0, 2, count).astype(np.int32),
    }


def data(arrays=None, inputs=INPUTS):
    source = memory(table() if arrays is None else arrays)
    return Dataset(source, inputs, Target('class', classes=('no', 'yes')), test=source)


def numbers(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def with_noise(module, *arguments):
    """The module's outputs on the arguments, and its parameters, none of which is 0."""
    params = module.init(jax.random.key(0), *arguments)['params']
    leaves, structure = jax.tree.flatten(params)
    leaves = [leaf + numbers(leaf.shape, seed) for seed, leaf in enumerate(leaves)]
    params = jax.tree.unflatten(structure, leaves)
    outputs = module.apply({'params': params}, *arguments)
    return outputs, jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)


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


def test_field_vectors_are_rows_of_a_table_and_lines():
    arrays = table()
    module = FieldVectors((4, 3, 5), 2, 6)
    vectors, params = with_noise(module, arrays)
    assert vectors.shape == (40, 5, 6)
    rows = params['categories']
    assert rows.shape == (12, 6)
    ids = arrays['categorical'][7]
    np.testing.assert_allclose(vectors[7, :3], rows[ids + [0, 4, 7]], rtol=1e-6)
    x = arrays['numeric'][7].astype(np.float64)[:, None]
    expected = x * params['slopes'][:, 0] + params['offsets'][0]
    np.testing.assert_allclose(vectors[7, 3:], expected, rtol=1e-5, atol=1e-6)


def test_pieces_of_a_number():
    pieces = ((-1.0, 0.0, 2.0), (0.0, 4.0))
    x = jnp.asarray([[-2.0, 1.0], [-0.5, 9.0], [1.0, -1.0], [7.0, 4.0]])
    expected = [
        [[0, 0], [0.25, 0]],
        [[0.5, 0], [1, 0]],
        [[1, 0.5], [0, 0]],
        [[1, 1], [1, 0]],
    ]
    np.testing.assert_array_equal(below(x, pieces), expected)


def test_crosses_without_weights_are_polynomials():
    """W = I, b = 0: x_1 = x_0 + x_0^2, x_2 = x_0 + 2 x_0^2 + x_0^3."""
    module = CrossLayer('matrix')
    x0 = numbers((4, 5))
    params = {'bias': jnp.zeros((1, 5)), 'matrix': {'kernel': jnp.eye(5)}}
    x1 = module.apply({'params': params}, x0, x0)
    np.testing.assert_allclose(x1, x0 + x0**2, rtol=1e-6)
    x2 = module.apply({'params': params}, x0, x1)
    np.testing.assert_allclose(x2, x0 + 2 * x0**2 + x0**3, rtol=1e-5, atol=1e-6)


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


def crossed(form, params, x0, x):
    """x_{l+1} of the papers, in float64, an example at a time."""
    b = params['bias'][0]
    if form == 'vector':
        return x0 * (x @ params['weight'][:, 0]) + b + x
    if form == 'matrix':
        return x0 * (params['matrix']['kernel'].T @ x + b) + x
    if form == 'low rank':
        u, v = params['up']['kernel'].T, params['down']['kernel']
        return x0 * (u @ (v.T @ x) + b) + x
    gate = np.exp(params['gates']['kernel'].T @ x + params['gates']['bias'])
    total = x.copy()
    for i, share in enumerate(gate / gate.sum()):
        u, c, v = params['up'][i].T, params['middle'][i].T, params['down'][i]
        total += share * x0 * (u @ np.tanh(c @ np.tanh(v.T @ x)) + b)
    return total


@pytest.mark.long
@pytest.mark.parametrize('form', ['vector', 'matrix', 'low rank', 'mixture'])
def test_a_cross_layer_is_the_papers(form):
    module = CrossLayer('matrix', rank=2) if form == 'low rank' else CrossLayer(form, experts=3)
    x0, x = numbers((5, 8), 1), numbers((5, 8), 2)
    outputs, params = with_noise(module, x0, x)
    for n in range(5):
        expected = crossed(form, params, x0[n].astype(float), x[n].astype(float))
        np.testing.assert_allclose(outputs[n], expected, rtol=1e-4, atol=1e-4)
    if form == 'mixture':
        assert params['down'].shape == (3, 8, 2), 'a quarter of the width'


def test_attention_between_fields_is_the_papers():
    fields = numbers((3, 4, 5))
    outputs, params = with_noise(FieldAttention(2, 3), fields)
    q, k, v = (params[name]['kernel'] for name in ('query', 'key', 'value'))  # [E, heads, width]
    for n, e in enumerate(fields.astype(float)):
        heads = []
        for h in range(2):
            weights = np.exp((e @ q[:, h]) @ (e @ k[:, h]).T)
            weights /= weights.sum(axis=1, keepdims=True)
            heads.append(weights @ (e @ v[:, h]))
        expected = np.maximum(np.concatenate(heads, 1) + e @ params['residual']['kernel'], 0)
        np.testing.assert_allclose(outputs[n], expected, rtol=1e-4, atol=1e-4)


def test_permuted_fields_permute_what_attention_gives():
    fields, turned = numbers((3, 6, 5)), np.asarray([4, 2, 0, 5, 1, 3])
    outputs, params = with_noise(FieldAttention(2, 3), fields)
    params = jax.tree.map(jnp.float32, params)
    permuted = FieldAttention(2, 3).apply({'params': params}, fields[:, turned])
    np.testing.assert_allclose(permuted, outputs[:, turned], rtol=1e-5, atol=1e-5)


def test_co_action_is_the_papers():
    module = CoAction((7, 6), widths=(4, 3, 2), powers=3)
    networks, passing = jnp.asarray([6, 0, 3]), jnp.asarray([5, 2, 2])
    outputs, params = with_noise(module, networks, passing)
    assert outputs.shape == (3, 3 * (3 + 2))
    for n in range(3):
        vector = params['networks'][networks[n]]
        first, second = vector[:12].reshape(4, 3), vector[12:].reshape(3, 2)
        expected = []
        for power in (1, 2, 3):
            h = np.tanh(params['inputs'][passing[n]] ** power @ first)
            expected += [h, np.tanh(h @ second)]
        np.testing.assert_allclose(outputs[n], np.concatenate(expected), rtol=1e-4, atol=1e-5)


def test_as_many_orthogonal_combinations_as_fields_keep_every_product():
    """(X Y^T) P = X X^T for Y = P X, P orthogonal."""
    x = numbers((3, 6, 4))
    orthogonal = np.linalg.qr(numbers((6, 6), 1))[0]
    with_all = np.asarray(products(jnp.asarray(x), jnp.asarray(orthogonal))) @ orthogonal
    np.testing.assert_allclose(with_all, x @ x.transpose(0, 2, 1), rtol=1e-4, atol=1e-5)


def test_moments_of_a_random_projection():
    """E[(P x) . (P y)] = x . y, with the variance (|x|^2 |y|^2 + (x . y)^2) / k."""
    k, seeds = 4, 20_000
    x, y = numbers((2, 6))
    projections = jax.vmap(lambda seed: random_projection(seed, k, 6))(jnp.arange(seeds))
    dots = np.asarray((projections @ x * (projections @ y)).sum(1), np.float64)
    variance = ((x @ x) * (y @ y) + (x @ y) ** 2) / k
    assert abs(dots.mean() - x @ y) < 4 * (variance / seeds) ** 0.5
    # of a variance of values with the tails of products of normal numbers: 2 % here
    np.testing.assert_allclose(dots.var(), variance, rtol=0.08)


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
