"""EfficientNet-Lite0: a convolutional network for photographs, whose trained weights can be had."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from lbexp.models import Model
from lbexp.models._linen import linen_network
from lbexp.models.norm import BatchNorm, Ghost, together
from lbexp.ranges import checked
from lbexp.shapes import Images, Outputs

# (blocks, window, stride of the first, widening, channels) of each stage.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_LEAST = 32  # pixels of a side
_EPSILON = 1e-3  # of batch norm


@checked
def efficientnet_lite0(
    ghost: Ghost = 'frozen',
) -> Model:
    """16 inverted residual blocks of depthwise convolutions (Tan and Le 2019, arXiv:1905.11946,
    Table 1, with the changes of EfficientNet-Lite: ReLU6, no squeeze and excitation), the mean over
    the picture, a linear layer; 3.4 million parameters before it.

    `python -m lbexp.data.prepare efficientnet_lite0` gives weights that were trained on ImageNet,
    for `init_from`; they take pictures as (x - 127) / 128. Parameters are those of 'stem',
    'block_0' to 'block_15', 'head' and 'logits'.

    Args:
        ghost: examples that share batch-norm statistics; 'frozen': the running statistics
            normalize in training, too: a few hundred pictures would spoil those of a million.

    Raises:
        ValueError: inputs that are no picture in colour, or a very small one.
    """

    def network(inputs, outputs):
        shapes = {name: described.shape for name, described in inputs.items()}
        (shape,) = list(shapes.values()) if len(shapes) == 1 else [()]
        if len(shape) != 3 or shape[2] != 3 or min(shape[:2]) < _LEAST:
            raise ValueError(
                f'efficientnet_lite0: found inputs of shapes {shapes}; allowed: one picture '
                f'(h, w, 3), h and w at least {_LEAST}'
            )
        module = EfficientNetLite0(outputs, ghost)
        return linen_network(module, inputs, together(True, ghost))

    return Model(network, functools.partial(network, outputs=None))


class EfficientNetLite0(nn.Module):
    """See `efficientnet_lite0`.

    Attributes:
        outputs: width of the last layer [units]; None: there is none, the mean over the picture
            comes out.
        ghost: as of BatchNorm.
    """

    outputs: int | None
    ghost: int | str | None = 'frozen'

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Outputs:
        x = _Convolution(_STEM, name='stem')(x)
        x = relu6(BatchNorm(self.ghost, eps=_EPSILON, name='stem_norm')(x, train))
        number = 0
        for blocks, window, stride, widening, channels in _STAGES:
            for block in range(blocks):
                step = 1 if block else stride
                name = f'block_{number}'
                x = _Block(window, step, widening, channels, self.ghost, name=name)(x, train)
                number += 1
        x = nn.Dense(_HEAD, use_bias=False, name='head')(x)
        x = relu6(BatchNorm(self.ghost, eps=_EPSILON, name='head_norm')(x, train))
        means = x.mean((1, 2))
        if self.outputs is None:
            return means
        return nn.Dense(self.outputs, name='logits')(means)


class _Block(nn.Module):
    """Widen by a product at each pixel, a depthwise convolution, narrow; plus x where that has the
    shape."""

    window: int
    stride: int
    widening: int
    channels: int
    ghost: int | str | None

    @nn.compact
    def __call__(self, x, train):
        shortcut, width = x, x.shape[-1]
        norm = functools.partial(BatchNorm, self.ghost, eps=_EPSILON)
        if self.widening > 1:
            width *= self.widening
            x = nn.Dense(width, use_bias=False, name='expand')(x)
            x = relu6(norm(name='expand_norm')(x, train))
        shape = (self.window, self.window, width)
        kernel = self.param('depthwise', nn.initializers.normal(1 / self.window), shape)
        x = depthwise(x, kernel, self.stride)
        x = relu6(norm(name='depthwise_norm')(x, train))
        x = nn.Dense(self.channels, use_bias=False, name='project')(x)
        x = norm(name='project_norm')(x, train)
        return x + shortcut if x.shape == shortcut.shape else x


class _Convolution(nn.Module):
    """3x3, stride 2, padded at the end as TensorFlow's 'SAME' does."""

    channels: int

    @nn.compact
    def __call__(self, x):
        shape = (3, 3, x.shape[-1], self.channels)
        kernel = self.param('kernel', nn.initializers.lecun_normal(), shape)
        layout = ('NHWC', 'HWIO', 'NHWC')
        return jax.lax.conv_general_dilated(x, kernel, (2, 2), 'SAME', dimension_numbers=layout)


def relu6(x: jax.Array) -> jax.Array:
    """min(max(x, 0), 6)."""
    return jnp.clip(x, 0, 6)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def depthwise(x: Images, kernel: jax.Array, stride: int) -> jax.Array:
    """Each channel of x [n, h, w, c] convolved with a window of its own, kernel [k, k, c].

    On CPU as k^2 shifted copies, each times a number: XLA's convolution of as many groups as
    channels takes 2.7 times as long. The derivative of that by x would compile for minutes, so it
    is that of the convolution; its derivative by the kernel takes 60 to 170 times as long there as
    k^2 sums of products, one after another.
    """
    if jax.default_backend() != 'cpu':
        return _grouped(x, kernel, stride)
    window = len(kernel)
    padded, (rows, columns) = _padded(x, window, stride)
    total = jnp.zeros((), x.dtype)
    for i in range(window):
        for j in range(window):
            below, right = i + (rows - 1) * stride + 1, j + (columns - 1) * stride + 1
            weights = kernel[i, j].reshape(1, 1, 1, -1)
            total = total + padded[:, i:below:stride, j:right:stride] * weights
    return total


@depthwise.defjvp
def _depthwise_jvp(stride, primals, tangents):
    (x, kernel), (of_x, of_kernel) = primals, tangents
    by_kernel = _grouped if jax.default_backend() != 'cpu' else _one_by_one
    tangent = _grouped(of_x, kernel, stride) + by_kernel(x, of_kernel, stride)
    return depthwise(x, kernel, stride), tangent


def _one_by_one(x, kernel, stride):
    """The convolution as a loop over the window: by the kernel, its transpose is a sum over
    pictures and pixels for each place of the window."""
    window = len(kernel)
    padded, (rows, columns) = _padded(x, window, stride)
    count, *_, channels = x.shape
    reach = (count, (rows - 1) * stride + 1, (columns - 1) * stride + 1, channels)

    def add(total, place):
        i, j = place // window, place % window
        seen = jax.lax.dynamic_slice(padded, (0, i, j, 0), reach)[:, ::stride, ::stride]
        weights = kernel[i, j].reshape(1, 1, 1, -1)
        return total + seen * weights, None

    total, _ = jax.lax.scan(
        add, jnp.zeros((count, rows, columns, channels), x.dtype), jnp.arange(window**2)
    )
    return total


def _padded(x, window, stride):
    """x with zeros around it, and the sides of what comes out."""
    _, height, width, _ = x.shape
    border = [(0, 0), *(_border(side, window, stride) for side in (height, width)), (0, 0)]
    return jnp.pad(x, border), (-(-height // stride), -(-width // stride))


def _grouped(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (stride, stride),
        'SAME',
        dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        feature_group_count=x.shape[-1],
    )


def _border(side, window, stride):
    """What TensorFlow's 'SAME' adds at both ends of a side: one pixel more at the end where it is
    odd."""
    total = max((-(-side // stride) - 1) * stride + window - side, 0)
    return total // 2, total - total // 2
