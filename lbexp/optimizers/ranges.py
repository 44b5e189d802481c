"""Numbers with which an optimizer would not be one, refused where they can be seen: not traced, not functions."""

from collections.abc import Callable
from typing import Any


def fraction(**numbers: Any):
    """Each is in [0, 1), by name. ValueError: one is not."""
    _check(numbers, lambda x: 0 <= x < 1, 'in [0, 1)')


def share(**numbers: Any):
    """Each is in [0, 1], by name. ValueError: one is not."""
    _check(numbers, lambda x: 0 <= x <= 1, 'in [0, 1]')


def step(**numbers: Any):
    """Each is in (0, 1], by name. ValueError: one is not."""
    _check(numbers, lambda x: 0 < x <= 1, 'in (0, 1]')


def at_least_0(**numbers: Any):
    """Each is >= 0, by name. ValueError: one is not."""
    _check(numbers, lambda x: x >= 0, '>= 0')


def above_0(**numbers: Any):
    """Each is > 0, by name. ValueError: one is not."""
    _check(numbers, lambda x: x > 0, '> 0')


def _check(numbers: dict, fits: Callable, allowed: str):
    for name, found in numbers.items():
        if isinstance(found, (int, float)) and not fits(found):  # NaN fits nowhere
            raise ValueError(f'{name}: found {found!r}; allowed: a number {allowed}')
