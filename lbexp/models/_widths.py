"""What the arguments of a model may be."""

from collections.abc import Iterable
from typing import Any


def check_widths(name: str, widths: Iterable[Any]) -> None:
    """Raises ValueError where a width is no integer >= 1."""
    for width in widths:
        # True is an int to Python.
        if not isinstance(width, int) or isinstance(width, bool) or width < 1:
            raise ValueError(f'{name}: found {width!r}; allowed: integers >= 1')
