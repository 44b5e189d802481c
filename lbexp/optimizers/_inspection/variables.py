"""Arrays in containers of their own, as Flax NNX has them."""

from typing import Any

import jax


def arrays_in(tree: Any) -> Any:
    """`tree` with its variables (nnx.Param, and what nnx.Optimizer puts a state into) replaced by
    their arrays."""
    return jax.tree.map(_array, tree, is_leaf=_is_variable)


def _array(x):
    if _is_variable(x):
        return x.get_value()
    return x


def _is_variable(x):
    return hasattr(x, 'get_value') and hasattr(x, 'set_value')
