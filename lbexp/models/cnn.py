"""A small convolutional network with optional batch norm and dropout."""

import functools
import itertools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lbexp.models import Model
from lbexp.models._linen import linen_network
from lbexp.models._widths import check_widths
from lbexp.models.dropout import Dropout
from lbexp.models.norm import BatchNorm, Ghost, together
from lbexp.ranges import Fraction, PositiveInteger, checked
from lbexp.shapes import Features, Images, Outputs

_LONG = 64  # numbers in the window of a convolution: from 8 input channels on
_BLOCK_BYTES = 4_000_000  # of shifted copies, which stay in the cache with what is made of them


@checked
def cnn(
    channels: Sequence[PositiveInteger] = (16, 32),
    hidden: PositiveInteger = 128,
    batch_norm: bool = False,
    ghost: Ghost = None,
    dropout: Fraction | None = None,
    block_dropout: Fraction | None = None,
) -> Model:
    """[3x3 convolution, ReLU, 2x2 max pool] for each of `channels`, a dense layer, a linear layer;
    for images [h, w, c].

    Args:
        channels: output channels of each convolution.
        hidden: width of the dense layer [units].
        batch_norm, ghost: as in mlp.
        dropout: of the dense layer's units, in [0, 1); None: no dropout.
        block_dropout: of what each max pool gives, in [0, 1), unit by unit; None: no dropout.

    Raises:
        ValueError: inputs that are no image, or smaller than the pooling makes nothing of.
    """
    check_widths('channels', channels)
    check_widths('hidden', (hidden,))

    def network(inputs, outputs):
        _check_image(inputs, len(channels))
        module = CNN(channels, hidden, outputs, batch_norm, ghost, dropout, block_dropout)
        return linen_network(module, inputs, together(batch_norm, ghost))

    return Model(network, functools.partial(network, outputs=None))


def _check_image(inputs, poolings):
    shapes = {name: described.shape for name, described in inputs.items()}
    least = 2**poolings
    (shape,) = list(shapes.values()) if len(shapes) == 1 else [()]
    if len(shape) != 3 or min(shape[:2]) < least:
        allowed = f'one image (h, w, channels), h and w at least {least} for {poolings} poolings'
        raise ValueError(f'cnn: found inputs of shapes {shapes}; allowed: {allowed}')


class CNN(nn.Module):
    """[3x3 convolution, ReLU, 2x2 max pool] for each entry of `channels`; a dense layer; a linear
    layer.

    Attributes:
        channels: output channels of each convolution.
        hidden: width of the dense layer [units].
        outputs: width of the last layer [units]; None: there is none, what it would be given comes
            out.
        batch_norm, ghost: as in MLP.
        dropout, block_dropout: as in cnn.
    """

    channels: Sequence[int]
    hidden: int
    outputs: int | None
    batch_norm: bool = False
    ghost: int | str | None = None
    dropout: ArrayLike | None = None
    block_dropout: ArrayLike | None = None

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Outputs:
        for width in self.channels:
            x = Conv3x3(width, use_bias=not self.batch_norm)(x)
            if self.batch_norm:
                x = BatchNorm(self.ghost)(x, train)
            x = nn.relu(max_pool(x))  # equal to the pool of the ReLU, of four times as many numbers
            if self.block_dropout is not None:
                x = Dropout(self.block_dropout)(x, train)
        x = x.reshape(len(x), -1)
        x = nn.relu(nn.Dense(self.hidden)(x))
        if self.dropout is not None:
            x = Dropout(self.dropout)(x, train)
        if self.outputs is None:
            return x
        return nn.Dense(self.outputs)(x)


class Conv3x3(nn.Module):
    """3x3 convolution, zero padding of 1: [n, h, w, c] -> [n, h, w, features], with a stride s
    [n, ceil(h / s), ceil(w / s), features]. Kernel [3, 3, c, features].

    On CPU it is computed as nine shifted copies of the image and one matrix product: XLA:CPU runs a
    convolution inside a loop on one thread without its fast path (80 steps/s of a small network
    against 355 this way, 2 cores), and mapped over trials it becomes a grouped convolution, slower
    still. What the copies of a batch take more than the cache for is done in blocks of pictures,
    and their copies are made again for the gradient. Accelerators get the convolution.
    """

    features: int
    use_bias: bool = True
    stride: int = 1

    @nn.compact
    def __call__(self, x: Images) -> Features:
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param('kernel', nn.initializers.lecun_normal(), shape)
        if jax.default_backend() == 'cpu':
            y = _product_of_patches(x, kernel, self.stride)
        else:
            y = _convolution(x, kernel, self.stride)
        if self.use_bias:
            bias = self.param('bias', nn.initializers.zeros, (self.features,))
            # Every axis is written out: the tests let JAX add none by itself.
            y = y + bias.reshape(1, 1, 1, -1)
        return y

    def product_rows(self, x: jax.Array) -> jax.Array:
        """[n, h, w, 9 c]: the rows whose product with the kernel it is."""
        return _patches(x, self.stride)


def _product_of_patches(x, kernel, stride):
    if len(x) == (size := _block(x, stride)):
        return _product_of_block(x, kernel, stride)
    # The gradient by the kernel is a sum over blocks, in float32 as within them.
    wide = kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))

    # Recomputed: what the gradient needs of a block is made when the block is in the cache.
    @functools.partial(jax.checkpoint, prevent_cse=False)
    def of_block(block):
        return _product_of_block(block, wide.astype(kernel.dtype), stride)

    products = jax.lax.map(of_block, x.reshape(-1, size, *x.shape[1:]))
    return products.reshape(-1, *products.shape[2:])


def _product_of_block(x, kernel, stride):
    patches = _patches(x, stride)
    columns = patches.shape[-1]
    rows, matrix = patches.reshape(-1, columns), kernel.reshape(columns, -1)
    if columns < _LONG:
        products = rows @ matrix
    else:
        # The kernel's gradient is then (error^T rows)^T, of as many long rows as there are output
        # channels, which XLA:CPU is 1.3 times faster at than at rows^T error.
        turned = jax.lax.optimization_barrier(matrix.T)
        products = jax.lax.dot_general(rows, turned, (((1,), (1,)), ((), ())))
    return products.reshape(*patches.shape[:3], -1)


def _block(x, stride):
    """Pictures whose patches stay in the cache, a divisor of the batch; all where they do, and
    where devices share them."""
    mesh = jax.sharding.get_abstract_mesh()
    for size, kind in zip(mesh.axis_sizes, mesh.axis_types, strict=True):
        if size > 1 and kind != jax.sharding.AxisType.Manual:
            return len(x)
    n, h, w, c = x.shape
    each = 9 * c * x.dtype.itemsize * -(-h // stride) * -(-w // stride)
    if n * each <= 2 * _BLOCK_BYTES:
        return n
    fitting = [size for size in range(1, n + 1) if n % size == 0 and size * each <= _BLOCK_BYTES]
    return max(fitting, default=1)


def _patches(x, stride):
    _, h, w, _ = x.shape
    border = ((0, 0), (1, 1), (1, 1), (0, 0))
    padded = jnp.pad(x, border)
    shifted_copies = []
    # In the order of the kernel's two leading axes.
    for i, j in itertools.product(range(3), range(3)):
        shifted_copies.append(padded[:, i : i + h : stride, j : j + w : stride])
    return jnp.concatenate(shifted_copies, axis=-1)


def _convolution(x, kernel, stride):
    border = ((1, 1), (1, 1))
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), border, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )


@jax.custom_jvp
def max_pool(x: Images) -> jax.Array:
    """2x2, stride 2, odd borders dropped: [n, h, w, c] -> [n, h // 2, w // 2, c]. Equal maxima of a
    window share its gradient equally."""
    return _windows(x).max((2, 4))


@max_pool.defjvp
def _max_pool_jvp(primals, tangents):
    """As JAX has it for `max`, but for a product with the reciprocal of the number of maxima: XLA
    would divide once for each pixel."""
    (x,), (tangent,) = primals, tangents
    largest = max_pool(x)
    is_largest = _windows(x) == largest[:, :, None, :, None]
    share = 1 / is_largest.sum((2, 4)).astype(x.dtype)
    of_largest = jnp.where(is_largest, _windows(tangent), 0).sum((2, 4))
    return largest, of_largest * share


def _windows(x):
    """[n, h // 2, 2, w // 2, 2, c]. A reshape: its gradient needs no select-and-scatter."""
    n, h, w, c = x.shape
    rows, columns = h // 2, w // 2
    even = x[:, : 2 * rows, : 2 * columns]
    return even.reshape(n, rows, 2, columns, 2, c)
