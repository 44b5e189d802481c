"""Networks in bfloat16 with float32 parameters: an oracle, dtypes, and how near they stay."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from click_tables import INPUTS, numbers, table
from jax.flatten_util import ravel_pytree

from lbexp.config import lookup
from lbexp.engine.flops import programs
from lbexp.errors import Refusal
from lbexp.inputs import Input
from lbexp.models._precision import in_precision
from lbexp.models.mlp import mlp
from lbexp.models.norm import BatchNorm

UNIT = 2**-8  # the largest relative error of a number's rounding to bfloat16

PICTURE = {'image': Input('image', (8, 8, 3), 'float32')}
PHOTOGRAPH = {'image': Input('image', (32, 32, 3), 'uint8')}
ROWS = {
    'tokens': Input('tokens', (6,), 'int32', vocabulary=(11,)),
    'segments': Input('tokens', (6,), 'int32'),
}
VECTOR = {'x': Input('numeric', (4,), 'float32')}
PIECES = {**INPUTS, 'numeric': INPUTS['numeric']._replace(edges=((-1.0, 0.0, 1.0), (-2.0, 2.0)))}
PAIRS = [('film', 'user')]
CASES = {
    'mlp': [({}, PICTURE), (dict(batch_norm=True, dropout=0.1), PICTURE)],
    'cnn': [({}, PICTURE), (dict(batch_norm=True, ghost=4), PICTURE)],
    'resnet': [({}, PICTURE)],
    'vgg16': [({}, PHOTOGRAPH)],
    'efficientnet_lite0': [({}, PHOTOGRAPH)],
    'lstm': [(dict(layers=2), ROWS)],
    'transformer': [({}, ROWS), (dict(rematerialise=True), ROWS)],
    'encoder': [({}, ROWS)],
    'linear': [({}, INPUTS)],
    'dcn': [({}, INPUTS), (dict(cross='mixture'), INPUTS), (dict(cross='vector'), PIECES)],
    'autoint': [({}, INPUTS)],
    'co_action': [(dict(pairs=PAIRS), INPUTS)],
    'compressed_fields': [({}, INPUTS), (dict(projection='pca'), INPUTS)],
    'feature_bag': [(dict(model=dict(name='dcn')), INPUTS)],
}
# whose programs take many seconds to compile
LARGE = ('vgg16', 'efficientnet_lite0', 'resnet')
EVERY, COMPILED = [], []
for _name, _cases in CASES.items():
    _marks = [pytest.mark.long] if _name in LARGE else []
    for _case in _cases:
        EVERY.append((_name, *_case))
        COMPILED.append(pytest.param(_name, *_case, marks=_marks))


@functools.cache
def drawn(name):
    """8 examples of the inputs of a model."""
    generator = np.random.default_rng(0)
    inputs = CASES[name][0][1]
    if inputs is INPUTS:
        return {key: jnp.asarray(values[:8]) for key, values in table().items() if key in inputs}
    if inputs is ROWS:
        tokens = generator.integers(0, 11, (8, 6), np.int32)
        return {'tokens': jnp.asarray(tokens), 'segments': jnp.ones((8, 6), jnp.int32)}
    (described,) = inputs.values()
    pixels = generator.standard_normal((8, *described.shape), np.float32)
    return {'image': jnp.asarray(pixels)}


def networks(name, arguments, inputs):
    """The model's network in float32 and in bfloat16."""
    model = lookup.build('model', dict(name=name, **arguments))
    return [in_precision(model, kind).network(inputs, 11) for kind in ('float32', 'bfloat16')]


def start(network):
    """Parameters, of which none is 0, and the model state."""
    params, state = network.init(jax.random.key(0))
    leaves, structure = jax.tree.flatten(params)
    moved = [leaf + 0.01 * numbers(leaf.shape, seed) for seed, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, moved), state


def loss(network, params, state, arrays, train):
    key = jax.random.key(1) if train else None
    outputs, new_state = network.apply(params, state, arrays, train, key)
    return jnp.square(outputs - 1).mean(), (outputs, new_state)


def gradient_of(network):
    return jax.grad(functools.partial(loss, network), has_aux=True)


def products(jaxpr):
    """(dtypes of the factors) of each product and convolution of a program."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ('dot_general', 'conv_general_dilated'):
            yield {str(each.aval.dtype) for each in equation.invars}
        for within in programs(equation.params.values()):
            yield from products(within)


def dtypes_of(tree):
    return jax.tree.map(lambda leaf: leaf.dtype, tree)


def distance(values, exact):
    """|values - exact| / |exact| of all arrays together."""
    flat, of_exact = ravel_pytree(values)[0], ravel_pytree(exact)[0]
    return jnp.linalg.norm(flat - of_exact) / jnp.linalg.norm(of_exact)


def test_every_model_is_here():
    assert set(CASES) == set(lookup.names('model'))


@pytest.mark.parametrize(('name', 'arguments', 'inputs'), EVERY)
def test_products_are_bfloat16_and_gradients_and_state_float32(name, arguments, inputs):
    whole, low = networks(name, arguments, inputs)
    params, state = jax.eval_shape(whole.init, jax.random.key(0))
    for network, dtype in ((whole, 'float32'), (low, 'bfloat16')):
        gradient = gradient_of(network)
        # Not of training, where the running means of a norm are products, too.
        traced = jax.make_jaxpr(gradient, static_argnums=3)(params, state, drawn(name), False)
        of_factors = list(products(traced.jaxpr))
        assert of_factors and all(factors == {dtype} for factors in of_factors)
        in_training = functools.partial(gradient, train=True)
        grads, (outputs, new_state) = jax.eval_shape(in_training, params, state, drawn(name))
        assert dtypes_of(grads) == dtypes_of(params) and outputs.dtype == jnp.float32
        assert dtypes_of(new_state) == dtypes_of(state)


@pytest.mark.parametrize(('name', 'arguments', 'inputs'), COMPILED)
def test_outputs_are_near(name, arguments, inputs):
    """Within a few roundings, each of which is up to UNIT, and not those of float32."""
    whole, low = networks(name, arguments, inputs)
    params, state = start(whole)
    outputs = [
        jax.jit(network.apply, static_argnums=3)(params, state, drawn(name), False, None)[0]
        for network in (low, whole)
    ]
    assert UNIT / 100 < distance(*outputs) < 4 * UNIT


@pytest.mark.parametrize('name', ['mlp', 'lstm', 'transformer', 'dcn'])
def test_gradients_are_near(name):
    """A unit near 0 may be on the other side of a ReLU, one in about 1 / UNIT: the distance is of
    the order of the root of UNIT."""
    arguments, inputs = CASES[name][-1]
    whole, low = networks(name, arguments, inputs)
    params, state = start(whole)
    grads = [
        jax.jit(gradient_of(network), static_argnums=3)(params, state, drawn(name), False)[0]
        for network in (low, whole)
    ]
    assert UNIT / 100 < distance(*grads) < 1.5 * UNIT**0.5


def many_times(name):
    """Inputs of a model, and examples in which each id stands in thousands of places."""
    if CASES[name][0][1] is not ROWS:
        table_arrays, arrays = table(), {}
        for key in INPUTS:
            values = table_arrays[key]
            arrays[key] = jnp.asarray(np.resize(values, (8192, *values.shape[1:])))
        return INPUTS, arrays
    # a recurrence sums over positions, too
    count, length = (4, 1024) if name == 'lstm' else (512, 32)
    inputs = {key: described._replace(shape=(length,)) for key, described in ROWS.items()}
    tokens = np.random.default_rng(0).integers(0, 11, (count, length), np.int32)
    arrays = {'tokens': jnp.asarray(tokens), 'segments': jnp.ones((count, length), jnp.int32)}
    return inputs, arrays


# an MLP has a table where its inputs have categories
WITH_TABLES = ['mlp', *(name for name, cases in CASES.items() if cases[0][1] in (ROWS, INPUTS))]


@pytest.mark.parametrize('name', WITH_TABLES)
def test_gradients_of_tables_and_recurrences_are_sums_in_float32(name):
    """In bfloat16 a sum of ones ends at 256."""
    inputs, arrays = many_times(name)
    whole, low = networks(name, CASES[name][0][0], inputs)
    params, state = start(whole)
    grads = []
    for network in (low, whole):
        gradient = jax.jit(gradient_of(network), static_argnums=3)
        grads.append(gradient(params, state, arrays, False)[0])
    distances = jax.tree.map(distance, *grads)
    for path, far in jax.tree_util.tree_leaves_with_path(distances):
        assert far < 0.1, jax.tree_util.keystr(path)


def test_an_mlp_is_that_of_rounded_numbers():
    """relu(x A + a) B + b with every array and every sum rounded to bfloat16. All products are of
    small integers: nothing else is rounded."""
    network = in_precision(mlp((3,)), 'bfloat16').network(VECTOR, 2)
    generator = np.random.default_rng(0)
    shapes = {'Dense_0': (4, 3), 'Dense_1': (3, 2)}
    params = {}
    for name, shape in shapes.items():
        kernel = generator.integers(-3, 4, shape) * (1 + 2**-10)  # which is no bfloat16
        params[name] = {
            'kernel': kernel.astype(np.float32),
            'bias': np.float32([1 + 2**-9] * shape[1]),
        }
    x = (generator.integers(-9, 10, (5, 4)) * (1 + 2**-10)).astype(np.float32)

    def rounded(values):
        return values.astype(ml_dtypes.bfloat16).astype(np.float32)

    def layer(h, name):
        kernel, bias = params[name]['kernel'], params[name]['bias']
        return rounded(rounded(h @ rounded(kernel)) + rounded(bias)[None])

    expected = layer(np.maximum(layer(rounded(x), 'Dense_0'), 0), 'Dense_1')
    outputs, _ = network.apply(params, {}, {'x': x}, False, None)
    np.testing.assert_array_equal(outputs, expected)
    exact, _ = mlp((3,)).network(VECTOR, 2).apply(params, {}, {'x': x}, False, None)
    assert np.abs(outputs - exact).max() > 0


@pytest.mark.parametrize('train', [True, False])
def test_means_and_variances_of_norms_are_float32(train):
    """256 and 258 are bfloat16, their mean 257 is not."""
    x = jnp.tile(jnp.asarray([[256.0], [258.0]], jnp.bfloat16), (4, 3))
    module = BatchNorm()
    variables = module.init(jax.random.key(0), x, True)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    variables['batch_stats'] = {'mean': jnp.full(3, 257.0), 'variance': jnp.ones(3)}
    out, new = module.apply(variables, x, train, mutable=['batch_stats'])
    assert out.dtype == jnp.bfloat16
    np.testing.assert_array_equal(out, x - jnp.bfloat16(256) - 1)
    np.testing.assert_allclose(new['batch_stats']['mean'], 257, rtol=1e-6)
    np.testing.assert_allclose(new['batch_stats']['variance'], 1, rtol=1e-6)
    across = nn.LayerNorm(use_bias=False).apply(
        {'params': {'scale': jnp.ones(8, jnp.bfloat16)}}, x[:, :1].T
    )
    np.testing.assert_array_equal(across[0], out[:, 0])


@pytest.mark.parametrize('name', ['transformer', 'encoder'])
def test_a_transformer_of_another_precision_is_refused(name):
    model = lookup.build('model', dict(name=name, precision='float32'))
    with pytest.raises(Refusal, match="precision: found 'bfloat16' with a model of precision 'flo"):
        in_precision(model, 'bfloat16')
    same = lookup.build('model', dict(name=name, precision='bfloat16'))
    assert in_precision(same, 'bfloat16').precision == 'bfloat16'
