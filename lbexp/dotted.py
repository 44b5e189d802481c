"""Nested data by dotted names: {'optimizer': {'b1': 0.9}} is {'optimizer.b1': 0.9}."""

from collections.abc import Iterator
from typing import Any


def flatten(nested: dict, lists: bool = False) -> dict[str, Any]:
    """{dotted name: value} of what is in nested dicts, in its order.

    Args:
        lists: whether lists are taken apart as well, by index: 'transforms.0.eta'.
    """
    return dict(_leaves(nested, '', (dict, list) if lists else (dict,)))


def _leaves(holder: Any, prefix: str, holders: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    entries = holder.items() if isinstance(holder, dict) else enumerate(holder)
    for name, value in entries:
        # An empty one has no names inside it: it is a value, as `replicas={}` is.
        if isinstance(value, holders) and value:
            yield from _leaves(value, f'{prefix}{name}.', holders)
        else:
            yield f'{prefix}{name}', value
