"""The small convolutional network: dropout between its blocks, convolutions in blocks of pictures,
pooling."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.models import cnn
from lbexp.models.cnn import CNN, Conv3x3
from lbexp.models.dropout import Dropout

IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(16, 10, 9, 2)), jnp.float32)
RATE = 0.3


def outputs(train, **arguments):
    """Of a network of two blocks, and what each of its dropouts gives."""
    module = CNN((8, 4), 6, 3, **arguments)
    variables = CNN((8, 4), 6, 3).init(jax.random.key(0), IMAGES, False)
    values, state = module.apply(
        variables,
        IMAGES,
        train,
        rngs={'dropout': jax.random.key(1)},
        capture_intermediates=_is_dropout,
        mutable='intermediates',
    )
    return values, state.get('intermediates', {})


def _is_dropout(module, _):
    return isinstance(module, Dropout)


@pytest.mark.parametrize('rate, train', [(0.0, True), (RATE, False)])
def test_without_a_rate_or_a_training_step_nothing_is_dropped(rate, train):
    np.testing.assert_array_equal(outputs(train, block_dropout=rate)[0], outputs(train)[0])


def test_each_pooling_loses_its_share_and_the_rest_grows():
    whole = outputs(True, block_dropout=0.0)[1]
    dropped = outputs(True, block_dropout=RATE)[1]
    (first,), (first_whole,) = (each['Dropout_0']['__call__'] for each in (dropped, whole))
    assert first.shape == (16, 5, 4, 8) and dropped['Dropout_1']['__call__'][0].shape[1:3] == (2, 2)
    first, first_whole = np.asarray(first), np.asarray(first_whole)
    is_kept = first != 0
    np.testing.assert_allclose(first[is_kept], first_whole[is_kept] / (1 - RATE), rtol=1e-6)
    # of those that are not 0 anyway
    share = 1 - is_kept[first_whole != 0].mean()
    assert abs(share - RATE) < 4 * np.sqrt(RATE * (1 - RATE) / (first_whole != 0).sum())
    # unit by unit, not whole channels
    is_dropped = ~is_kept & (first_whole != 0)
    assert (is_kept.any((1, 2)) & is_dropped.any((1, 2))).mean() > 0.9


def test_the_dense_layer_has_a_rate_of_its_own():
    of_blocks = outputs(True, block_dropout=RATE)[1]
    of_both = outputs(True, block_dropout=RATE, dropout=0.5)[1]
    assert set(of_blocks) == {'Dropout_0', 'Dropout_1'}
    assert of_both['Dropout_2']['__call__'][0].shape == (16, 6)


PICTURES = jnp.asarray(np.random.default_rng(1).normal(size=(48, 7, 6, 3)), jnp.float32)


@pytest.fixture
def small_blocks(monkeypatch):
    """Four pictures of PICTURES at a time; returns how many were, of each convolution."""
    monkeypatch.setattr(cnn, '_BLOCK_BYTES', 4 * 9 * 3 * 4 * 7 * 6)
    sizes, product = [], cnn._product_of_block

    def seen(x, kernel, stride):
        sizes.append(len(x))
        return product(x, kernel, stride)

    monkeypatch.setattr(cnn, '_product_of_block', seen)
    return sizes


def convolution(kernel, x, stride=1):
    return Conv3x3(5, use_bias=False, stride=stride).apply({'params': {'kernel': kernel}}, x)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('long', [27, 28])
def test_a_convolution_in_blocks_is_the_convolution(small_blocks, monkeypatch, stride, long):
    """Values, gradients and a product with the Hessian, also mapped over kernels, on either side of
    the length from which the product is turned."""
    monkeypatch.setattr(cnn, '_LONG', long)
    kernels = jnp.asarray(np.random.default_rng(2).normal(size=(2, 3, 3, 3, 5)), jnp.float32)

    def loss(convolve, kernel, x):
        return jnp.sum(jnp.sin(convolve(kernel, x)))

    def reference(kernel, x):
        return cnn._convolution(x, kernel, stride)

    def ours(kernel, x):
        return convolution(kernel, x, stride)

    def results(convolve):
        of_loss = functools.partial(loss, convolve)

        def of_kernel(kernel):
            by_kernel = jax.grad(of_loss)
            product = jax.jvp(lambda k: by_kernel(k, PICTURES), (kernel,), (kernel,))[1]
            return convolve(kernel, PICTURES), *jax.grad(of_loss, (0, 1))(kernel, PICTURES), product

        return jax.vmap(of_kernel)(kernels)

    for found, expected in zip(results(ours), results(reference), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)
    # a stride of 2 leaves a quarter of the places
    assert set(small_blocks) == ({4} if stride == 1 else {12})


def test_a_batch_that_devices_share_is_whole(small_blocks):
    mesh = jax.make_mesh((8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,))
    kernel = jnp.ones((3, 3, 3, 5))
    with jax.set_mesh(mesh):
        jax.jit(convolution)(kernel, PICTURES)
    assert small_blocks == [48]
    placed = jax.sharding.PartitionSpec()
    mapped = jax.shard_map(convolution, mesh=mesh, in_specs=(placed, placed), out_specs=placed)
    jax.jit(mapped)(kernel, PICTURES)
    assert small_blocks == [48, 4]  # each device has a batch of its own


def test_the_gradient_of_a_kernel_in_bfloat16_is_a_sum_in_float32(small_blocks):
    """A sum of ones in bfloat16 ends at 256."""
    many = jnp.ones((720, 7, 6, 3), jnp.bfloat16)
    kernel = jnp.zeros((3, 3, 3, 5), jnp.bfloat16)
    gradient = jax.grad(lambda k: convolution(k, many).astype(jnp.float32).sum())(kernel)
    assert set(small_blocks) == {8}
    np.testing.assert_allclose(gradient[1, 1].astype(jnp.float32), 720 * 7 * 6, rtol=2**-8)


@pytest.mark.parametrize('shape', [(3, 4, 6, 2), (2, 5, 7, 3)])
def test_max_pool_has_the_derivatives_of_max(shape):
    """Of small whole numbers, of which many are equal."""
    x = jnp.asarray(np.random.default_rng(3).integers(0, 3, shape), jnp.float32)
    tangent = jnp.asarray(np.random.default_rng(4).normal(size=shape), jnp.float32)

    def reference(x):
        return cnn._windows(x).max((2, 4))

    pooled = np.asarray(reference(x))
    np.testing.assert_array_equal(cnn.max_pool(x), pooled)
    for derivative in (
        lambda pool: jax.jvp(pool, (x,), (tangent,))[1],
        lambda pool: jax.vjp(pool, x)[1](jnp.asarray(pooled + 0.5))[0],
    ):
        np.testing.assert_allclose(derivative(cnn.max_pool), derivative(reference), rtol=1e-6)


def test_the_pool_of_the_relu_is_the_relu_of_the_pool():
    np.testing.assert_array_equal(nn.relu(cnn.max_pool(IMAGES)), cnn.max_pool(nn.relu(IMAGES)))
