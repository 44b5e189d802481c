"""The momentum buffers in the state of any optimizer: found, taken out, put back."""

from collections.abc import Sequence
from typing import Any

import jax
import optax

# names that optax and lbexp give them
MOMENTUM_FIELDS = ('trace', 'mu', 'momentum', 'velocity', 'buffer')


def marked(
    optimizer: optax.GradientTransformation, state: Any, fields: Sequence[str] = MOMENTUM_FIELDS
) -> Any:
    """A prefix of `state`: True at its momentum buffers, False elsewhere.

    Args:
        optimizer: whose state it is.
        state: plain, or stacked over replicas.
        fields: names of the fields that hold momentum, among those that `optax.tree.map_params`
            sees as parameters.

    Raises:
        ValueError: there are buffers of the parameters' shape, but none with a name in `fields`.
    """
    like_params = object()
    marks = optax.tree.map_params(
        optimizer,
        lambda _: like_params,
        state,
        transform_non_params=lambda _: None,
        is_leaf=lambda _: True,
    )
    paths, treedef = jax.tree.flatten_with_path(marks, is_leaf=lambda x: x is None)
    names = [_name(path) if mark is like_params else None for path, mark in paths]
    found = {name for name in names if name is not None}
    if found and not found & set(fields):
        raise ValueError(
            f'no momentum in the inner state: its buffers are {sorted(found)}, momentum_fields '
            f'are {list(fields)}; '
            "name the momentum in momentum_fields, or use momentum='maintain'"
        )
    return treedef.unflatten([name in fields for name in names])


def select(marks: Any, state: Any) -> Any:
    """The marked parts of `state`."""
    return jax.tree.map(lambda mark, part: part if mark else optax.MaskedNode(), marks, state)


def replace(marks: Any, state: Any, selected: Any) -> Any:
    """`state` with its marked parts from `selected`."""
    return jax.tree.map(lambda mark, part, new: new if mark else part, marks, state, selected)


def _name(path):
    """The state's field that holds a buffer: the last named step of its path."""
    named = [str(getattr(step, 'name', getattr(step, 'key', ''))) for step in path]
    return next((name for name in reversed(named) if name), '')
