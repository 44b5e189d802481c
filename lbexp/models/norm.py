"""Batch normalization whose statistics are shared by a ghost batch rather than by the whole
batch."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from lbexp.precision import upcast
from lbexp.ranges import PositiveInteger
from lbexp.shapes import SameBatch

FROZEN = 'frozen'
# what a model takes as `ghost`, see BatchNorm
Ghost = PositiveInteger | Literal['sync', 'replica', 'frozen'] | None


class BatchNorm(nn.Module):
    """Normalizes each ghost batch by its own mean and variance (Hoffer, Hubara, Soudry 2017,
    arXiv:1705.08741, Alg. 1).

    Training: x is cut into G = n / ghost groups of `ghost` consecutive examples, and group j
    becomes scale * (x_j - mean_j) / sqrt(var_j + eps) + bias. The running statistics take the
    groups in order, as if each had been a batch of its own: r <- (1 - rate)^G r + sum_j rate (1 -
    rate)^(G - j) mean_j, j = 1 .. G. Evaluation uses the running statistics, so it never sees
    ghosts. Means and variances are float32 whatever the precision of x, which the output has.

    Attributes:
        ghost: examples in a ghost batch; must divide the microbatch. None or 'sync': the
            microbatch, on however many devices, is one ghost batch. 'replica': the examples of one
            device are, as in data-parallel training without synchronised batch norm; results then
            depend on the number of devices. 'frozen': the running statistics normalize in
            training, too, and stay as they are: for weights that are fine-tuned.
        rate: weight of a new group in the running statistics, in (0, 1].
        eps: added to the variance.
    """

    ghost: int | str | None = None
    rate: float = 0.1
    eps: float = 1e-5

    @nn.compact
    def __call__(self, x: SameBatch, train: bool) -> SameBatch:
        features, dtype = x.shape[-1], x.dtype
        x = upcast(x)
        by_feature = (1,) * (x.ndim - 1) + (-1,)
        scale = self.param('scale', nn.initializers.ones, (features,))
        bias = self.param('bias', nn.initializers.zeros, (features,))
        mean = self.variable('batch_stats', 'mean', jnp.zeros, (features,))
        variance = self.variable('batch_stats', 'variance', jnp.ones, (features,))
        if train and self.ghost != FROZEN:
            groups = _groups(x, self.ghost)
            axes = tuple(range(1, groups.ndim - 1))
            group_mean = groups.mean(axes)
            group_variance = groups.var(axes)
            # flax runs the module once to make its variables; that batch is not data.
            if not self.is_initializing():
                mean.value = _running(mean.value, group_mean, self.rate)
                variance.value = _running(variance.value, group_variance, self.rate)
            by_group = (len(groups), *(1,) * len(axes), features)
            shift = group_mean.reshape(by_group)
            spread = group_variance.reshape(by_group)
        else:
            groups = x
            shift = mean.value.reshape(by_feature)
            spread = variance.value.reshape(by_feature)
        normal = (groups - shift) * jax.lax.rsqrt(spread + self.eps)
        normal = normal.reshape(x.shape)
        scaled = normal * scale.reshape(by_feature) + bias.reshape(by_feature)
        return scaled.astype(dtype)


def _groups(x, ghost):
    if ghost in (None, 'sync'):
        ghost = len(x)
    elif ghost == 'replica':
        # The mesh that the program is compiled for; a model used outside has none, and is one
        # replica. Where workers lie along the axis, each has its own examples here already.
        mesh = jax.sharding.get_abstract_mesh()
        replicas = mesh.shape.get('data', 1)
        if 'data' in mesh.manual_axes:
            replicas = 1
        ghost = len(x) // replicas
    if not isinstance(ghost, int) or isinstance(ghost, bool) or ghost < 1 or len(x) % ghost:
        allowed = "a divisor, 'sync', 'replica', 'frozen'"
        raise ValueError(
            f'ghost: found {ghost!r} with {len(x)} examples in a microbatch; allowed: {allowed}'
        )
    return x.reshape(-1, ghost, *x.shape[1:])


def _running(old, groups, rate):
    """The running statistic after taking the groups in order."""
    count = len(groups)
    keep = 1 - rate
    # The last group is the newest: its weight is `rate`.
    ages = jnp.arange(count - 1, -1, -1, dtype=groups.dtype)
    weights = rate * keep**ages
    return keep**count * old + weights @ groups


def together(batch_norm: bool, ghost: int | str | None) -> int | None:
    """Examples that a model with this batch norm has to see at once; None: all of a batch."""
    if not batch_norm or ghost == FROZEN:
        return 1
    if isinstance(ghost, int):
        return ghost
    return None
