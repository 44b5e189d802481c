"""Arrays in containers of their own, as Flax NNX has them."""

from typing import Any

import jax


def arrays_in(tree: Any) -> Any:
    """`tree` with its variables (nnx.Param, and what nnx.Optimizer puts a state into) replaced by
    their arrays."""
    return jax.tree.map(
        lambda x: x.get_value() if _is_variable(x) else x, tree, is_leaf=_is_variable
    )


def _is_variable(x):
    return hasattr(x, 'get_value') and hasattr(x, 'set_value')
