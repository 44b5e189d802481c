"""VGG16's convolutions: a network for photographs, whose trained weights can be had."""

import functools
from collections.abc import Sequence

import flax.linen as nn
import numpy as np

from lbexp.models import Model
from lbexp.models._linen import linen_network
from lbexp.models.cnn import Conv3x3, max_pool
from lbexp.shapes import Images, Outputs

# (convolutions, channels) of each block: configuration D.
_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
_MEANS = (103.939, 116.779, 123.68)  # of ImageNet's blue, green and red, 0 .. 255
_LEAST = 16  # pixels of a side: four poolings leave one place


def vgg16() -> Model:
    """The 13 convolutions of VGG16 (Simonyan and Zisserman 2015, arXiv:1409.1556, Table 1, D), each
    3x3 with bias and ReLU, 2x2 max pools between their five blocks, the mean over the picture, a
    linear layer; 14.7 million parameters before it, in place of the 124 million of three dense
    layers.

    `python -m lbexp.data.prepare vgg16` gives weights for `init_from`: ImageNet's, trained further
    to find edges. They take blue, green and red, 0 .. 255, minus ImageNet's means; that is made
    here of pictures of bytes, red first, however their data set normalises them. Parameters are
    those of 'block1/conv1' to 'block5/conv3' and 'logits'.

    Raises:
        ValueError: inputs that are no picture of bytes in colour, or a very small one.
    """

    def network(inputs, outputs):
        shapes = {name: (described.shape, described.dtype) for name, described in inputs.items()}
        (described,) = inputs.values() if len(inputs) == 1 else (None,)
        if described is None or not _is_picture(described):
            raise ValueError(
                f'vgg16: found inputs {shapes}; allowed: a picture (h, w, 3) of uint8, h and w at '
                f'least {_LEAST}'
            )
        shift = 0.0 if described.shift is None else described.shift
        module = VGG16(outputs, _three(described.scale), _three(shift))
        return linen_network(module, inputs)

    return Model(network, functools.partial(network, outputs=None))


def _is_picture(described):
    shape = described.shape
    is_colour = len(shape) == 3 and shape[2] == 3
    return is_colour and min(shape[:2]) >= _LEAST and described.dtype == 'uint8'


def _three(numbers):
    """One for each channel."""
    return tuple(np.broadcast_to(np.asarray(numbers, float), 3).tolist())


class VGG16(nn.Module):
    """See `vgg16`.

    The mean takes the place of the fifth pool, too: the edges were learned without one, and of a
    picture of 96 pixels it would leave 3x3 places of 6x6.

    Attributes:
        outputs: width of the last layer [units]; None: there is none, the mean over the picture
            comes out.
        scale, shift: x = (byte - shift) * scale, of red, green and blue.
    """

    outputs: int | None
    scale: Sequence[float] = (1.0, 1.0, 1.0)
    shift: Sequence[float] = (0.0, 0.0, 0.0)

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Outputs:
        x = _preprocessed(x, self.scale, self.shift)
        for number, (convolutions, channels) in enumerate(_BLOCKS, 1):
            if number > 1:
                x = max_pool(x)
            x = _Block(convolutions, channels, name=f'block{number}')(x)
        means = x.mean((1, 2))
        if self.outputs is None:
            return means
        return nn.Dense(self.outputs, name='logits')(means)


def _preprocessed(x, scale, shift):
    """Bytes of blue, green and red minus ImageNet's means, of what the data set made of the bytes
    of red, green and blue."""
    pixels = x / _along_last(scale) + _along_last(shift)
    return (pixels[..., ::-1] - _along_last(_MEANS)).astype(x.dtype)


def _along_last(numbers):
    return np.asarray(numbers, np.float32).reshape(1, 1, 1, 3)


class _Block(nn.Module):
    """[3x3 convolution, ReLU] a few times."""

    convolutions: int
    channels: int

    @nn.compact
    def __call__(self, x):
        for number in range(1, self.convolutions + 1):
            x = nn.relu(Conv3x3(self.channels, name=f'conv{number}')(x))
        return x
