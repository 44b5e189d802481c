"""The precision that sums, means and updates are computed in: float32 at least, whatever the
precision of what goes in."""

from typing import Any, Literal

import jax
import jax.numpy as jnp

Precision = Literal['float32', 'bfloat16']  # of a network's products


def upcast(x: jax.Array) -> jax.Array:
    """`x`, float32 at least."""
    return x.astype(upcast_dtype(x))


def upcast_dtype(x: Any) -> jnp.dtype:
    """The dtype of `upcast(x)`; `x` may be abstract."""
    return jnp.promote_types(x.dtype, jnp.float32)
