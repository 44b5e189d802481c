"""The momentum buffers in the state of any optimizer: found, taken out, put back."""

from collections.abc import Sequence
from typing import Any

import jax
import optax

# names that optax and lbexp give them
MOMENTUM_FIELDS = ('trace', 'mu', 'momentum', 'velocity', 'buffer')


def momentum_mask(
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
    parameter_like = object()
    initable: Any = optimizer  # which is what optax asks for; its stub does not say so
    marks = optax.tree.map_params(
        initable,
        lambda _: parameter_like,
        state,
        transform_non_params=lambda _: None,
        is_leaf=lambda _: True,
    )
    leaves, structure = jax.tree.flatten_with_path(marks, is_leaf=lambda x: x is None)
    mask, buffers = [], set()
    for path, mark in leaves:
        if mark is parameter_like:
            name = _name(path)
            buffers.add(name)
            mask.append(name in fields)
        else:
            mask.append(False)
    if buffers and not buffers & set(fields):
        raise ValueError(
            f'no momentum in the inner state: its buffers are {sorted(buffers)}, momentum_fields '
            f'are {list(fields)}; '
            "name the momentum in momentum_fields, or use buffer_policy='maintain'"
        )
    return structure.unflatten(mask)


def select(mask: Any, state: Any) -> Any:
    """The parts of `state` where `mask` is True, optax.MaskedNode elsewhere."""

    def part_or_hole(is_selected, part):
        if is_selected:
            return part
        return optax.MaskedNode()

    return jax.tree.map(part_or_hole, mask, state)


def replace(mask: Any, state: Any, selected: Any) -> Any:
    """`state`, from `selected` where `mask` is True."""

    def new_or_part(is_selected, part, new):
        if is_selected:
            return new
        return part

    return jax.tree.map(new_or_part, mask, state, selected)


def _name(path):
    """The state's field that holds a buffer: the last named step of its path."""
    for step in reversed(path):
        name = str(getattr(step, 'name', getattr(step, 'key', '')))
        if name:
            return name
    return ''
