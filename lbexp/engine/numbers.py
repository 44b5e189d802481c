"""The numbers of a configuration, by path: 'optimizer.learning_rate', 'transforms.0.eta'."""

from collections.abc import Collection
from typing import Any

from lbexp.config import fields
from lbexp.dotted import flatten

# Parts whose numbers may be traced.
TRACED_PARTS = fields.traced('arguments')
_SHAPES = ('replicas.workers',)  # integers that no program can trace
# What a data set holds no program can trace either, but for how its pictures are augmented.
_DATA, _AUGMENTATION = 'workload.data.', 'workload.data.augment.'


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


def leaves(config: dict) -> dict[str, Any]:
    """{path: value} of everything in a configuration, lists taken apart."""
    return flatten(config, lists=True)


def entries(config: dict, paths: Collection[str]) -> dict[str, Any]:
    """{path: value} of a configuration at these paths, in its order."""
    return {path: value for path, value in leaves(config).items() if path in paths}


def numeric(
    config: dict, kinds: Any = (int, float), parts: tuple[str, ...] = TRACED_PARTS
) -> set[str]:
    """The paths in `parts` of numbers of these kinds that a program might trace."""
    paths = set()
    for path, value in leaves(config).items():
        # A bool is an int to Python, and never a number here.
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        part, _, _ = path.partition('.')
        is_of_data = path.startswith(_DATA) and not path.startswith(_AUGMENTATION)
        if is_number and part in parts and path not in _SHAPES and not is_of_data:
            paths.add(path)
    return paths
