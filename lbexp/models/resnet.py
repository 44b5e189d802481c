"""Residual networks for small pictures."""

import functools
from typing import Literal

import flax.linen as nn
import jax

from lbexp.models import Model
from lbexp.models._linen import linen_network
from lbexp.models.cnn import Conv3x3
from lbexp.models.norm import BatchNorm, Ghost, together
from lbexp.ranges import checked
from lbexp.shapes import Images, Outputs

# (width, blocks) of each stage, by the number of layers that have weights.
_STAGES = {
    18: ((64, 2), (128, 2), (256, 2), (512, 2)),
    20: ((16, 3), (32, 3), (64, 3)),
    32: ((16, 5), (32, 5), (64, 5)),
    44: ((16, 7), (32, 7), (64, 7)),
    56: ((16, 9), (32, 9), (64, 9)),
}


@checked
def resnet(
    depth: Literal[18, 20, 32, 44, 56] = 20,
    ghost: Ghost = None,
    rematerialise: bool = False,
) -> Model:
    """A 3x3 convolution, stages of blocks, the mean over the picture, a linear layer (He et al.
    2016, arXiv:1512.03385, section 4.2; 18 is that of ImageNet with this stem).

    A block is x <- relu(F(x) + x), F = convolution, batch norm, ReLU, convolution, batch norm. The
    first block of a later stage halves the picture, and x passes a 1x1 convolution and batch norm
    there.

    Args:
        depth: 20 to 56: three stages of widths 16, 32, 64 (0.27 to 0.85 million parameters); 18:
            four of 64 to 512 (11.2 million), for accelerators.
        ghost: examples that share batch-norm statistics; must divide the microbatch. None or
            'sync': the microbatch; 'replica': what one device has of it; 'frozen': the running
            statistics normalize in training, too, and stay as they are, as for fine-tuning.
        rematerialise: compute the activations of a block again for its gradient instead of keeping
            them.

    Raises:
        ValueError: inputs that are no image.
    """

    def network(inputs, outputs):
        shapes = {name: described.shape for name, described in inputs.items()}
        if len(shapes) != 1 or len(next(iter(shapes.values()))) != 3:
            raise ValueError(
                f'resnet: found inputs of shapes {shapes}; allowed: one image (h, w, channels)'
            )
        module = ResNet(_STAGES[depth], outputs, ghost, rematerialise)
        return linen_network(module, inputs, together(True, ghost))

    return Model(network, functools.partial(network, outputs=None))


class ResNet(nn.Module):
    """Stages of residual blocks, see `resnet`.

    Attributes:
        stages: (width, blocks) of each.
        outputs: width of the last layer [units]; None: there is none, the mean over the picture
            comes out.
        ghost: as of BatchNorm.
        rematerialise: compute activations of a block again for its gradient instead of keeping
            them.
    """

    stages: tuple[tuple[int, int], ...]
    outputs: int | None
    ghost: int | str | None = None
    rematerialise: bool = False

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Outputs:
        first, _ = self.stages[0]
        x = Conv3x3(first, use_bias=False)(x)
        x = nn.relu(BatchNorm(self.ghost)(x, train))
        # Argument 2, counted from self, is `train`, at which Python looks.
        block_class = nn.remat(_Block, static_argnums=(2,)) if self.rematerialise else _Block
        number = 0
        for stage, (width, blocks) in enumerate(self.stages):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                # By name: Flax would count blocks that are computed again by another.
                x = block_class(width, stride, self.ghost, name=f'_Block_{number}')(x, train)
                number += 1
        means = x.mean((1, 2))
        if self.outputs is None:
            return means
        return nn.Dense(self.outputs)(means)


class _Block(nn.Module):
    width: int
    stride: int
    ghost: int | str | None

    @nn.compact
    def __call__(self, x, train):
        shortcut = x
        if self.stride > 1 or x.shape[-1] != self.width:
            shortcut = _Projection(self.width, self.stride, name='Dense_0')(x)
            shortcut = BatchNorm(self.ghost)(shortcut, train)
        x = Conv3x3(self.width, use_bias=False, stride=self.stride)(x)
        x = nn.relu(BatchNorm(self.ghost)(x, train))
        x = Conv3x3(self.width, use_bias=False)(x)
        return nn.relu(BatchNorm(self.ghost)(x, train) + shortcut)


class _Projection(nn.Module):
    """A 1x1 convolution with a stride: a product with a kernel [c, width] at the pixels that the
    stride meets.

    On accelerators it is written as the convolution: XLA for NVIDIA aborts on the product of a
    strided slice (openxla/xla issue 47381, jax 0.11.2).
    """

    width: int
    stride: int

    @nn.compact
    def __call__(self, x):
        shape = (x.shape[-1], self.width)
        kernel = self.param('kernel', nn.initializers.lecun_normal(), shape)
        if jax.default_backend() == 'cpu':
            return x[:, :: self.stride, :: self.stride] @ kernel
        strides = (self.stride, self.stride)
        layout = ('NHWC', 'HWIO', 'NHWC')
        kernel = kernel.reshape(1, 1, *shape)
        return jax.lax.conv_general_dilated(x, kernel, strides, 'VALID', dimension_numbers=layout)
