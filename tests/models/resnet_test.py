"""Residual networks: sizes as published, convolutions as XLA's own, identities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp.inputs import Input
from lbexp.models.cnn import Conv3x3
from lbexp.models.resnet import ResNet, resnet

IMAGE = {'image': Input('image', (32, 32, 3), 'uint8')}


@pytest.mark.parametrize(
    ('depth', 'millions'),
    [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (18, 11.17)],
)
def test_parameters_are_as_many_as_published(depth, millions):
    """He et al. 2016, table 6, of the three-stage networks; projections instead of zero padding
    add less than 0.003 million, and the figures are rounded."""
    network = resnet(depth).network(IMAGE, 10)
    params, _ = jax.eval_shape(network.init, jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert count / 1e6 == pytest.approx(millions, abs=0.008)


@pytest.mark.parametrize('size', [(8, 8), (7, 9)])
@pytest.mark.parametrize('stride', [1, 2, 3])
def test_a_convolution_with_a_stride_is_that_of_xla(size, stride):
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    layer = Conv3x3(4, stride=stride)
    variables = layer.init(jax.random.key(1), x)
    expected = jax.lax.conv_general_dilated(
        x,
        variables['params']['kernel'],
        (stride, stride),
        ((1, 1), (1, 1)),
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    np.testing.assert_allclose(layer.apply(variables, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('size', [(8, 8), (7, 9)])
def test_a_shortcut_is_the_same_on_every_backend(size, monkeypatch):
    module = ResNet(((4, 1), (6, 1)), 5)
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    variables = module.init(jax.random.key(1), x, train=False)
    outputs = module.apply(variables, x, train=False)
    shortcut = variables['params']['_Block_1']['Dense_0']['kernel']
    assert shortcut.shape == (4, 6)
    monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
    elsewhere = module.apply(variables, x, train=False)
    np.testing.assert_allclose(elsewhere, outputs, rtol=1e-5, atol=1e-5)


@pytest.mark.long
def test_every_later_stage_halves_the_picture_and_a_picture_has_one_answer():
    module = ResNet(((2, 1), (4, 2), (8, 1)), 5)
    x = jax.random.normal(jax.random.key(0), (3, 9, 8, 3))
    variables = module.init(jax.random.key(1), x, train=False)
    outputs, state = module.apply(
        variables, x, train=False, capture_intermediates=True, mutable=['intermediates']
    )
    assert outputs.shape == (3, 5)
    blocks = [f'_Block_{i}' for i in range(4)]
    shapes = [state['intermediates'][block]['__call__'][0].shape for block in blocks]
    assert shapes == [(3, 9, 8, 2), (3, 5, 4, 4), (3, 5, 4, 4), (3, 3, 2, 8)]
    alone = module.apply(variables, x[:1], train=False)
    np.testing.assert_allclose(alone[0], outputs[0], rtol=1e-5, atol=1e-6)


def test_a_block_whose_branch_is_zero_passes_what_is_positive():
    """x <- relu(F(x) + x) with F = 0: the second batch norm's scale and bias at 0."""
    module = ResNet(((2, 1),), 2)
    x = jax.random.normal(jax.random.key(0), (3, 4, 4, 1))
    variables = module.init(jax.random.key(1), x, train=False)
    norm = variables['params']['_Block_0']['BatchNorm_1']
    norm['scale'] = jnp.zeros_like(norm['scale'])
    _, state = module.apply(
        variables, x, train=False, capture_intermediates=True, mutable=['intermediates']
    )
    before = state['intermediates']['BatchNorm_0']['__call__'][0]
    after = state['intermediates']['_Block_0']['__call__'][0]
    np.testing.assert_array_equal(after, jax.nn.relu(before))


def test_frozen_statistics_normalize_in_training_and_stay():
    module = ResNet(((2, 1), (4, 1)), 5, 'frozen')
    x = jax.random.normal(jax.random.key(0), (3, 4, 4, 1))
    variables = module.init(jax.random.key(1), x, train=False)
    statistics = jax.tree.map(lambda leaf: leaf + 0.5, variables['batch_stats'])
    variables = {**variables, 'batch_stats': statistics}
    outputs, after = module.apply(variables, x, train=True, mutable=['batch_stats'])
    np.testing.assert_array_equal(outputs, module.apply(variables, x, train=False))
    jax.tree.map(np.testing.assert_array_equal, after['batch_stats'], statistics)
    synchronised = ResNet(((2, 1), (4, 1)), 5)
    others, _ = synchronised.apply(variables, x, train=True, mutable=['batch_stats'])
    assert not np.allclose(outputs, others)


def test_what_is_no_picture_is_refused():
    with pytest.raises(ValueError, match='resnet: found inputs of shapes'):
        resnet().network({'x': Input('numeric', (5,), 'float32')}, 10)
