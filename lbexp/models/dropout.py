"""Dropout whose rate may be a traced number, so that trials with different rates share one
program."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from lbexp.precision import upcast_dtype
from lbexp.shapes import SameBatch


class Dropout(nn.Module):
    """x_i -> x_i / (1 - rate) with probability 1 - rate, else 0 (Srivastava et al. 2014). Off in
    evaluation.

    Attributes:
        rate: probability that a unit is dropped, in [0, 1). flax's own module branches on its value
            in Python.
    """

    rate: ArrayLike

    @nn.compact
    def __call__(self, x: SameBatch, train: bool) -> SameBatch:
        if not train:
            return x
        key = self.make_rng('dropout')
        is_kept = jax.random.bernoulli(key, 1.0 - self.rate, x.shape)
        # Of a quotient XLA makes one program's product and another's division, which round
        # differently.
        scale = 1 / (1 - jnp.asarray(self.rate, upcast_dtype(x)))
        return jnp.where(is_kept, x * scale.astype(x.dtype), 0)
