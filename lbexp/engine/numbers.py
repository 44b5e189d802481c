"""The numbers of a configuration, by path: 'optimizer.learning_rate', 'transforms.0.eta'."""

from collections.abc import Iterator
from typing import Any

from lbexp.config import fields

# Parts whose numbers may be traced.
TRACED_PARTS = fields.traced('arguments')
_SHAPES = ('replicas.workers',)  # integers that no program can trace


def numbered(config: dict, numbers: dict[str, Any]) -> dict:
    """`config` with the entries at the paths of `numbers` replaced."""

    def rebuilt(value: Any, path: str) -> Any:
        if path in numbers:
            return numbers[path]
        if isinstance(value, dict):
            return {k: rebuilt(v, f'{path}.{k}'.lstrip('.')) for k, v in value.items()}
        if isinstance(value, list):
            return [rebuilt(v, f'{path}.{i}') for i, v in enumerate(value)]
        return value

    return rebuilt(config, '')


def leaves(value: Any, path: str = '') -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in nested dicts and lists that is neither."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f'{path}.{name}'.lstrip('.'))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f'{path}.{index}')
    else:
        yield path, value


def numeric(
    config: dict, kinds: Any = (int, float), parts: tuple[str, ...] = TRACED_PARTS
) -> set[str]:
    """The paths in `parts` of numbers of these kinds that a program might trace."""
    return {
        path
        for path, value in leaves(config)
        if path.split('.')[0] in parts
        and isinstance(value, kinds)
        and not isinstance(value, bool)
        and path not in _SHAPES
    }
