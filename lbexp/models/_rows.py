"""Rows of tables of vectors.

In bfloat16 a sum of ones stays at 256, and so would that of the gradients of a row that is read
more often: tables are read in float32, whatever their dtype.
"""

from typing import Any

import jax

from lbexp.precision import upcast


def read_rows(table: jax.Array, ids: jax.Array) -> jax.Array:
    """`table[ids]`, whose gradient is summed over equal ids in float32 at least."""
    return upcast(table)[ids].astype(table.dtype)


def promote_to_float32(*arrays: Any, dtype: Any = None, inexact: bool = True) -> list[Any]:
    """The `promote_dtype` of a flax.linen.Embed whose gradient is summed so."""
    del dtype, inexact
    return [upcast(each) for each in arrays]
